//! Distillation: a student of the same network that draws in few steps and needs no guidance.

mod asked;
pub mod config;
pub mod course;
pub(crate) mod teacher;

pub use asked::Distill;
