//! The integration tests of the crate, in one program. Those that count every byte that the process
//! allocates are alone in another, `mutations.rs`.

mod animation;
mod cifar;
mod common;
mod dataset;
mod digits;
mod folder;
mod idx;
mod numpy;
mod picture;
mod pictures;
mod tables;
mod zoo;
