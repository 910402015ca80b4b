//! The promises of the crate schedule, through its public interface.

mod diffusers;
mod noise;
mod prediction;
mod references;
mod spacing;
mod text;
