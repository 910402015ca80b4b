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
//! The crates below are here too, so that every type of a field, an argument or an error has a name: [`data`],
//! [`eval`], [`judge`], [`network`], [`optim`], [`sample`], [`schedule`] and [`train`].
//!
//! A drawing is cancelled by its `on_step` ([`Error::caller`]), a training by not taking the next step: `save` it,
//! and [`Session::resume`] goes on.
//!
//! Nothing here prints: what happens is in the values that functions return, and what is worth a word on the
//! way goes to the caller's logger (crate `log`).

// A caller reads in the documents what can go wrong.
#![warn(clippy::missing_errors_doc)]

mod assignment;
pub mod averages;
mod begin;
mod board;
pub mod budget;
mod card;
mod choice;
pub mod classify;
mod compare;
mod compare_table;
pub mod config;
mod curves;
mod distill;
mod draw;
mod drawing;
mod error;
mod eval_count;
mod eval_file;
pub mod evaluation;
pub mod events;
mod export;
mod fields;
mod file_names;
pub mod files;
pub mod find;
mod from;
mod import;
mod inputs;
pub mod job;
mod judged;
mod markdown;
pub mod metrics;
mod model;
mod model_files;
mod network_config;
mod note;
mod onnx;
mod plan;
mod preparation;
mod presets;
mod record;
mod report;
mod reproduce;
mod resume;
mod rise;
mod run_folder;
mod schedule_shift;
mod score;
mod session;
mod set;
mod settings;
mod snapshots;
mod start;
mod stop;
mod stop_file;
mod sweep;
pub mod tensorboard;
mod tfrecord;
mod transfer;
mod verify;
pub mod words;
pub mod yardstick;

pub use assignment::assignment;
pub use choice::{ClassList, asked as class_asked};
pub use compare::compare;
pub use compare_table::{Row, Table};
pub use config::{DataConfig, RunConfig};
pub use distill::Distill;
pub use distill::config::DistillConfig;
pub use draw::{Drawn, Sampling, class_sheet, pictures};
pub use drawing::{Drawing, EXCLUDES, NEEDS};
pub use error::{CannotResume, Error, Result, Split};
pub use eval_count::{DRAWING_TIME, EvalCount};
pub use eval_file::{CopiedShares, EVAL_FILE, EvalFile, LossAt};
pub use export::{About, export};
pub use from::{FromConfig, FromWeights};
pub use import::{Import, Imported, NullLabel, import};
pub use inputs::Inputs;
pub use job::{Denoised, Job};
pub use judged::{Better, Distances, EqualCounts, Frechet, Interval, Judged, TwoSampleTest};
pub use model::Model;
pub use model_files::{ModelFiles, Rounded};
pub use network_config::NetworkConfig;
pub use note::{Form, Note};
pub use onnx::export_onnx;
pub use plan::{FRAME_MS, Frames, Plan};
pub use preparation::Preparation;
pub use presets::{PRESETS, Preset};
pub use record::{Checkpoint, Course, LAST_STEPS, Network, RunRecord};
pub use report::{report, training_curves};
pub use reproduce::{Reproduced, reproduce};
pub use rise::{RISEN, Rise};
pub use run_folder::{CHECKPOINTS, CONFIG, LESSONS, preview_path, previews};
pub use score::score;
pub use session::{NewRun, PREVIEW_CLASSES, Resume, Session, Stepped};
pub use set::{Asked, DrawnSet, SetClass, SetDrawing, SetFormat, SetManifest, SetProgress};
pub use stop::{ask_to_stop, is_trained};
pub use sweep::{Axes, Sweep, Swept};
pub use transfer::{CarriedClasses, TRANSFER, Transfer};
pub use verify::verify;

pub use candle_core::{self, Device, Tensor};
pub use duet_data as data;
pub use duet_eval as eval;
pub use duet_judge as judge;
pub use duet_model as network;
pub use duet_optim as optim;
pub use duet_ranks as ranks;
pub use duet_sample as sample;
pub use duet_schedule as schedule;
pub use duet_train as train;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct RepositoryReadme;
