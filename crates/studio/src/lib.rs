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

mod asked;
mod door;
mod draw;
mod error;
mod file;
mod limits;
mod model_page;
mod models;
mod note;
mod page;
mod patient;
mod places;
mod refusal;
mod routes;
mod server;
mod steps;
mod studio;
mod watched;
mod work;

pub use error::Error;
pub use server::{Server, Settings};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
