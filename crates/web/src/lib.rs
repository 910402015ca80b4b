//! What the studio's server answers, computed in a browser: `duet page` puts it into a file with a model.
//!
//! The module speaks with its page in bytes, and needs no glue but `crates/studio/page-alone/worker.js`: [`Engine`]
//! answers, and `abi.rs` passes the bytes to and fro.

#[cfg(target_arch = "wasm32")]
mod abi;
mod engine;

pub use engine::{Engine, Reply};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
