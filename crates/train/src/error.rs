//! What can go wrong while training or saving.

use std::path::{Path, PathBuf};

/// Errors of this crate, by what a caller can do about them.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run diverged. Where the loss or a gradient was not finite, the step changed nothing; where
    /// a weight is not, the trainer is of no more use.
    #[error(
        "diverged at step {step}: the {what} is not finite (loss {loss}, gradient norm {grad_norm}, \
         learning rate {learning_rate:e}, timesteps {timesteps:?}); try a lower learning rate"
    )]
    Diverged {
        /// The step that was not taken, counted from 1.
        step: u64,
        /// "loss", "gradient" or "weight".
        what: &'static str,
        /// The weighted loss.
        loss: f64,
        /// The gradient's global norm before clipping.
        grad_norm: f64,
        /// The step's learning rate.
        learning_rate: f64,
        /// The batch's timesteps.
        timesteps: Vec<usize>,
    },
    /// An option outside its range; the message names it.
    #[error("{0}")]
    Option(String),
    /// A folder that is no checkpoint, or a damaged one.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// An error of the schedule.
    #[error(transparent)]
    Schedule(#[from] duet_schedule::ScheduleError),
    /// An average that cannot be made.
    #[error(transparent)]
    Optim(#[from] duet_optim::OptimError),
    /// An error of the network.
    #[error(transparent)]
    Model(#[from] duet_model::ModelError),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl TrainError {
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.as_ref().into(), reason: reason.to_string() }
    }

    pub(crate) fn write(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Write { path: path.as_ref().into(), cause }
    }
}
