//! The tests of the optimisers.

mod rules;
