//! What a configuration says of the model that a run begins from.

use crate::error::{Error, option};
use serde::{Deserialize, Serialize};

/// The model that a run begins from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromConfig {
    /// A run, a checkpoint, or a folder of diffusers; the run notes the folder that was found.
    pub model: String,
    /// Which of a checkpoint's weights.
    #[serde(default)]
    pub weights: FromWeights,
    /// Of its network, weights and scheduler, filled in when the run starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// Which weights of a checkpoint a run begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromWeights {
    /// Those that draw: their average over the training.
    #[default]
    Averaged,
    /// Those that a resumed training goes on from.
    Raw,
}

impl std::fmt::Display for FromWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Averaged => "averaged",
            Self::Raw => "raw",
        })
    }
}

impl std::str::FromStr for FromWeights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "averaged" => Ok(Self::Averaged),
            "raw" => Ok(Self::Raw),
            _ => Err(option("from-weights", format!(" {text}: averaged or raw"))),
        }
    }
}
