//! What can be wrong with a classifier's options, data, inputs or file.

use std::path::PathBuf;

/// Errors of a [`Classifier`](crate::Classifier); each message names what is wrong and where.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// An option of the training with a value that cannot be used.
    #[error("{0}")]
    Option(String),
    /// Images or labels that no classifier can be trained on.
    #[error("{0}")]
    Data(String),
    /// Images that this classifier cannot take.
    #[error("{0}")]
    Input(String),
    /// A loss, a gradient or a weight that is not finite.
    #[error("step {step}: the {what} is not finite; a lower learning_rate may help")]
    Diverged {
        /// Steps taken, this one included.
        step: u64,
        /// What is not finite.
        what: &'static str,
    },
    /// A file that is missing or cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
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
    /// A file that does not hold a classifier.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that do not hold a classifier.
    #[error("not the weights of a classifier: {0}")]
    Weights(String),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
