//! The tests of training.

mod checkpoint;
mod common;
mod rules;
mod torn;
mod trainer;
