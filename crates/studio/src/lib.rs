//! A page on your own machine: it draws with your models, shows how guidance works, and watches trainings.
//!
//! [`Server`] serves the page and answers its requests, which `docs/design/studio.md` in the repository lists. It draws
//! through `duet-diffusion`, so its files are those of `duet sample`, byte for byte.
//!
//! ```no_run
//! use duet_studio::{Server, Settings};
//!
//! let server = Server::bind(Settings::default())?;
//! println!("{}", server.address());
//! server.serve(|| false)?;
//! # Ok::<(), duet_studio::Error>(())
//! ```

// What the server alone asks is not called without it.
#![cfg_attr(not(feature = "server"), allow(dead_code))]

mod alone;
mod answer;
mod answers;
mod asked;
mod cancel;
mod draw;
mod file;
mod limits;
mod model;
mod note;
mod page;
mod refusal;
#[cfg(feature = "server")]
mod server;
mod steps;

pub use alone::Alone;
pub use answer::Said;
pub use answers::Answers;
pub use file::File;
pub use refusal::Refusal;
#[cfg(feature = "server")]
pub use server::{Error, Server, Settings};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
