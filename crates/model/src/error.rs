//! What can be wrong with a configuration, a weights file or an input.

use std::path::PathBuf;

/// Errors of this crate; each message names what is wrong and where.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A configuration key with a value that this crate cannot compute.
    #[error("{key} = {value}: {reason}")]
    Config {
        /// The key, as in config.json.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong, and which values are possible.
        reason: String,
    },
    /// A configuration that is not JSON of the right form.
    #[error("the model configuration is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A file that is missing or cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file whose content is wrong.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights whose names or shapes are not the configuration's.
    #[error("weights do not fit the configuration: {0}")]
    Weights(String),
    /// An input that the network cannot take.
    #[error("{0}")]
    Input(String),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
