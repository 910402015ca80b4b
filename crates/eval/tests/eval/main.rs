//! The tests of the metrics.

mod bootstrap;
mod common;
mod confusion;
mod copies;
mod denoising;
mod features;
mod frechet;
mod kernel_distance;
mod memorisation;
mod neighbours;
mod references;
mod two_sample;
