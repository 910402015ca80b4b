//! The tests of training.

mod augmentation;
mod checkpoint;
mod common;
mod rules;
mod torn;
mod trainer;
