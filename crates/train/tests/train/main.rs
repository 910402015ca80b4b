//! The tests of training.

mod augmentation;
mod checkpoint;
mod common;
mod lesson;
mod ranks;
mod rules;
mod torn;
mod trainer;
