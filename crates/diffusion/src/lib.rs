//! Class-conditional image diffusion with classifier-free guidance: train, draw, measure, export.
//!
//! The one dependency of a program that trains or draws. From a model folder to images:
//!
//! ```no_run
#![doc = include_str!("../examples/draw.rs")]
//! ```
//!
//! From a folder of labelled pictures to a trained run:
//!
//! ```no_run
#![doc = include_str!("../examples/train.rs")]
//! ```
//!
//! Nothing here prints: what happens is in the values that functions return, and what is worth a word on the
//! way goes to the caller's logger (crate `log`).

pub mod averages;
pub mod budget;
mod card;
mod choice;
pub mod classify;
mod compare;
mod compare_table;
pub mod config;
mod curves;
mod draw;
mod drawing;
mod error;
mod eval_file;
pub mod evaluation;
pub mod events;
mod export;
mod file_names;
pub mod files;
pub mod find;
mod import;
mod markdown;
pub mod metrics;
mod model;
mod note;
mod plan;
mod record;
mod report;
mod reproduce;
mod resume;
mod run_folder;
mod score;
mod session;
mod settings;
mod snapshots;
mod start;
mod sweep;
mod verify;
pub mod words;
pub mod yardstick;

pub use choice::{ClassList, asked as class_asked};
pub use compare::compare;
pub use compare_table::{Row, Table};
pub use config::{DataConfig, RunConfig};
pub use draw::{Drawn, Sampling, pictures};
pub use drawing::{Drawing, EXCLUDES, NEEDS};
pub use error::{Error, Result};
pub use eval_file::{EVAL_FILE, EvalFile, Frechet};
pub use export::{About, export};
pub use import::{Import, Imported, NullLabel, import};
pub use model::Model;
pub use note::{Form, Note};
pub use plan::{FRAME_MS, Frames, Plan};
pub use record::{Course, RunRecord};
pub use report::report;
pub use reproduce::{Reproduced, reproduce};
pub use score::score;
pub use session::{NewRun, PREVIEW_CLASSES, Resume, Session, Stepped};
pub use sweep::{Axes, Sweep, Swept};
pub use verify::verify;

pub use candle_core::Device;
pub use duet_data as data;
pub use duet_sample as sample;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
