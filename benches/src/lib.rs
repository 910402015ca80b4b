//! Benchmarks of Duet.
