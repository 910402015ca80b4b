//! The integration tests of the crate, in one program. Those that count every byte that the process
//! allocates are alone in another, `mutations.rs`.

mod animation;
mod archives;
mod cifar;
mod common;
mod dataset;
mod digits;
mod folder;
mod idx;
mod numpy;
mod parquet;
mod pickles;
mod picture;
mod pictures;
mod save;
mod tables;
mod zoo;
