//! Training of class-conditional diffusion models.
//!
//! A [`Trainer`] owns a network, its optimiser and the moving average of its weights; the loop
//! belongs to the caller: [`Trainer::step`] takes one optimiser step on tensors and reports on it.
//! Every draw (data order, noise, timestep, label dropout) is a function of the seed and of the
//! index of the image seen, so a trainer's whole random state is one integer and a resumed run
//! equals an unbroken one bit for bit.
//!
//! [`checkpoint`] saves and loads a trainer as a model folder that diffusers reads too.

mod adamw;
pub mod checkpoint;
mod checkpoints;
mod disk;
mod draws;
mod ema;
mod error;
mod held_out;
mod learning_rate;
mod loss;
mod manifest;
mod muon;
mod options;
mod power_ema;
mod trainer;

pub use adamw::{AdamW, AdamWOptions, clip_global_norm, is_decayed};
pub use disk::{Disk, RealDisk, create_folders};
pub use draws::{DataOrder, ImageDraws};
pub use ema::ema_decay;
pub use error::TrainError;
pub use held_out::{HeldOut, held_out_loss};
pub use learning_rate::LearningRate;
pub use loss::{LossWeighting, TimestepSampling, loss_weights};
pub use manifest::{FileEntry, MANIFEST_FILE, Manifest};
pub use muon::{Muon, Optimizer, is_hidden_matrix};
pub use options::{Diffusion, TrainOptions};
pub use power_ema::{POWER_LENGTHS, PowerAverage, power_decay, power_exponent, power_factors};
pub use trainer::{Batch, StepReport, Trainer};
