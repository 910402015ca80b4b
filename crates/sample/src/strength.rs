//! How much of a sampler's steps an image takes again.

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use duet_schedule::Steps;
use serde::{Deserialize, Serialize};

const RANGE: &str = "above 0 and at most 1";

/// The share of a sampler's steps for images that do not begin in pure noise (SDEdit, Meng et al. 2022). A
/// small share keeps only the last step; 1 keeps all.
///
/// As text and in serde: the number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Strength(f64);

impl Strength {
    /// All steps.
    pub const ALL: Self = Self(1.0);

    /// The default: 0.6.
    pub const USUAL: Self = Self(0.6);

    /// Errors: a share that is not above 0 and at most 1.
    pub fn new(share: f64) -> Result<Self, SampleError> {
        match share > 0.0 && share <= 1.0 {
            true => Ok(Self(share)),
            false => Err(SampleError::Setting(format!("strength {share}: {RANGE}"))),
        }
    }

    /// The number.
    pub fn share(self) -> f64 {
        self.0
    }

    /// The steps that images take: the last ones of `steps`, at least one.
    pub fn kept(self, steps: &Steps) -> Steps {
        steps.last((self.0 * steps.len() as f64).round() as usize)
    }
}

impl TryFrom<f64> for Strength {
    type Error = SampleError;

    fn try_from(share: f64) -> Result<Self, SampleError> {
        Self::new(share)
    }
}

impl From<Strength> for f64 {
    fn from(strength: Strength) -> Self {
        strength.0
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Strength {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let strength = text.parse().ok().and_then(|share| Self::new(share).ok());
        strength.ok_or_else(|| not_read(text, RANGE))
    }
}
