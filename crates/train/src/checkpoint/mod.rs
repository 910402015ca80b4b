//! Checkpoints: model folders that diffusers loads, with the state that training needs.
//!
//! A save writes a temporary sibling folder, syncs every file, writes the manifest last, and then renames
//! the folder. A checkpoint therefore exists with all its bytes, or not at all.

pub(crate) mod disk;
mod latest;
mod list;
mod load;
pub(crate) mod manifest;
mod names;
mod of_trainer;
mod prune;
mod resume;
mod save;
mod state;

pub use latest::{latest, latest_model, latest_model_until, latest_until, verify_step};
pub use list::list;
pub use load::{load, raw_weights};
pub use names::{folder, step_of};
pub use of_trainer::{notes, scheduler};
pub use prune::{prune, prune_but, prune_on};
pub use resume::{restore, set_aside};
pub use save::{Annotations, CONFIG_COPY, config_hash, save, save_on};
