//! Training of class-conditional diffusion models.
//!
//! A [`Trainer`] owns a network, its optimiser and the moving average of its weights. The loop belongs to
//! the caller: [`Trainer::step`] takes one optimiser step on tensors and returns a report. Every draw (data
//! order, changes of images, noise, timestep, label dropout) is a function of the seed and of the index of the image seen. A
//! trainer's whole random state is therefore one integer, and a resumed run equals an unbroken one bit for
//! bit.
//!
//! [`checkpoint`] saves and loads a trainer as a model folder that diffusers reads too.

mod affine;
mod augmentation;
mod batch;
pub mod checkpoint;
mod data_order;
mod distiller;
mod error;
mod flip;
mod freeze;
mod held_out;
mod image_changes;
mod lesson;
mod loss_weighting;
pub mod model_folder;
mod objective;
mod optimizer;
mod options;
mod ranked_sum;
mod timestep_sampling;
mod trainer;

pub use affine::Affine;
pub use augmentation::Augmentation;
pub use batch::Batch;
pub use checkpoint::disk::{Disk, RealDisk, create_folders, folder_above};
pub use checkpoint::manifest::{FileEntry, MANIFEST_FILE, Manifest};
pub use data_order::DataOrder;
pub use distiller::{Distiller, Trajectories};
pub use error::TrainError;
pub use flip::Flip;
pub use held_out::{HeldOut, held_out_loss};
pub use lesson::Lesson;
pub use loss_weighting::{LossWeighting, loss_weights};
pub use objective::ImageDraws;
pub use optimizer::{Optimizer, is_decayed, is_hidden_matrix};
pub use options::{Diffusion, TrainOptions};
pub use timestep_sampling::TimestepSampling;
pub use trainer::{StepReport, Trainer};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
