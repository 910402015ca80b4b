//! The tests of the kernels.

mod conv2d;
mod group_norm_and_linear;
mod optimise;
mod tape;
