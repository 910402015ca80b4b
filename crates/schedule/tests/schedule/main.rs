//! What the crate schedule promises, by its public interface.

mod diffusers;
mod noise;
mod prediction;
mod references;
mod spacing;
mod text;
