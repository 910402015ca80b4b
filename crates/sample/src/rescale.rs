//! Rescaled guidance (Lin et al. 2023, section 3.4).

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::per_image::deviation;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

const RANGE: &str = "must be 0 to 1";

/// φ from 0 (not at all) to 1 (fully): how far the guided prediction's standard deviation moves back to the
/// conditional one's.
///
/// As text and in serde: the number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rescale(f64);

impl Rescale {
    /// Errors: φ outside 0 to 1.
    pub fn new(phi: f64) -> Result<Self, SampleError> {
        match (0.0..=1.0).contains(&phi) {
            true => Ok(Self(phi)),
            false => Err(SampleError::Setting(format!("rescale {phi}: {RANGE}"))),
        }
    }

    /// φ.
    pub fn phi(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rescale {
    type Error = SampleError;

    fn try_from(phi: f64) -> Result<Self, SampleError> {
        Self::new(phi)
    }
}

impl From<Rescale> for f64 {
    fn from(rescale: Rescale) -> Self {
        rescale.0
    }
}

impl fmt::Display for Rescale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Rescale {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let phi = text.parse().ok().and_then(|phi| Self::new(phi).ok());
        phi.ok_or_else(|| not_read(text, RANGE))
    }
}

/// φ · p̃ · std(p(c))/std(p̃) + (1 - φ) p̃, the deviations over each image.
///
/// Guidance raises a prediction's deviation, and the images become too bright. Both predictions are
/// converted to v, whatever the network predicts. The paper's networks predict v; and at high noise every ε
/// has deviation 1, so that ε would not be scaled there at all.
pub(crate) fn rescaled(guided: &Tensor, given: &Tensor, phi: f64) -> Result<Tensor, SampleError> {
    let ratio = (deviation(given)? / deviation(guided)?)?;
    let factor = ((ratio * phi)? + (1.0 - phi))?;
    Ok(guided.broadcast_mul(&factor)?)
}
