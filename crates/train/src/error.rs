//! What can go wrong while training or saving.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Errors of this crate, by what a caller can do about them.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run diverged. If the loss or a gradient is not finite, the step changed nothing. If a weight is
    /// not finite, the trainer must not be used any more.
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
    /// A folder that is not a checkpoint, or a damaged checkpoint.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A file or folder that exists but cannot be read now. Its bytes may be in order.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
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
    /// An error of the ranks that train together.
    #[error(transparent)]
    Ranks(#[from] duet_ranks::RankError),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl TrainError {
    pub(crate) fn checkpoint(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.as_ref().into(), reason: reason.to_string() }
    }

    /// Sorts an error of reading. It is `damage` if the file is missing or its bytes are wrong, so that
    /// reading again cannot help. It is [`TrainError::Read`] if a disk, a permission or a limit prevents
    /// reading now.
    pub fn of_reading(path: &Path, cause: io::Error, damage: impl FnOnce(io::Error) -> Self) -> Self {
        let lasting = match cause.kind() {
            // A link without a target may lead to a disk that is not mounted.
            ErrorKind::NotFound => std::fs::symlink_metadata(path).is_err(),
            ErrorKind::NotADirectory | ErrorKind::IsADirectory => true,
            // An error that is not the system's: not a regular file, too long, or not text.
            _ => cause.raw_os_error().is_none(),
        };
        if lasting { damage(cause) } else { Self::Read { path: path.into(), cause } }
    }

    pub(crate) fn write(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Write { path: path.as_ref().into(), cause }
    }
}
