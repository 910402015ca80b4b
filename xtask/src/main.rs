//! Duet's runner.
fn main() {}
