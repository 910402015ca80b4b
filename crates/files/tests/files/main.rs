//! The integration tests of the crate, in one program.
#![cfg(unix)]

mod opening;
mod whole;
