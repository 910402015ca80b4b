//! The tests of training.

mod augmentation;
mod checkpoint;
mod common;
mod ranks;
mod rules;
mod torn;
mod trainer;
