//! The server over its sockets, with a tiny model.

mod answers;
mod door;
mod limits;
mod malformed;
mod runs;
mod same_bytes;
mod support;
#[path = "../../../diffusion/tests/diffusion/tiny.rs"]
mod tiny;
mod vanish;
