//! The tests of the judge.

mod classifier;
