//! Leading away from what was seen before (Sadat et al. 2025, "HiGS: History-Guided Sampling").

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::estimate::Estimate;
use crate::noise_interval::NoiseInterval;
use crate::place::Place;
use candle_core::Tensor;

/// Noise levels within which a step is led on, where only how far is said.
const LEVELS: (f64, f64) = (0.5, 3.0);

/// What a step sees, led on by how it differs from what the step before saw: x̂_0 + κ · (x̂_0 - x̂_0'), x̂_0'
/// the guided estimate of the step before, as it was without this.
///
/// An estimate at more noise is closer to the mean of all images that are still possible, so away from it
/// lies more of one image's own. It brings back variety that guidance by class takes, and asks the network
/// nothing, and has a weight of its own, which counts at every guidance weight, also at none. The paper leads away from an average of all steps, orthogonally, and in high frequencies more;
/// this is its difference alone.
///
/// As text: the weight, such as `0.5`, or the weight and the noise levels, such as `0.5:0.3:3`; without
/// levels they are 0.5:3. Serde uses the same text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    weight: f64,
    interval: NoiseInterval,
}

impl Default for History {
    /// Nothing is led on.
    fn default() -> Self {
        Self { weight: 0.0, interval: levels() }
    }
}

impl History {
    /// κ, 0 (not at all) or more, within an interval of noise levels: from a step in almost pure noise
    /// there is nothing to be led away, and in the last steps it would only sharpen.
    pub fn new(weight: f64, interval: NoiseInterval) -> Result<Self, SampleError> {
        match weight >= 0.0 && weight.is_finite() {
            true => Ok(Self { weight, interval }),
            false => Err(SampleError::Setting(format!("history {weight}: must be 0 or more"))),
        }
    }

    /// Whether nothing is led on.
    pub(crate) fn is_none(&self) -> bool {
        self.weight == 0.0
    }

    /// x̂_0, led on, or none where it stays; `before` becomes what this step saw, at the start of an
    /// interval.
    pub(crate) fn led_on(
        &self,
        estimate: &Estimate,
        place: Place,
        before: &mut Option<Tensor>,
    ) -> Result<Option<Tensor>, SampleError> {
        if self.is_none() {
            return Ok(None);
        }
        let x0 = &estimate.x0;
        let before = match place.at_end {
            true => before.clone(),
            false => before.replace(x0.detach()),
        };
        let inside = before.filter(|_| self.interval.contains(place.alpha_bar));
        let led_on = |before: Tensor| Ok((x0 + ((x0 - before)? * self.weight)?)?);
        inside.map(led_on).transpose()
    }
}

fn levels() -> NoiseInterval {
    NoiseInterval::new(LEVELS.0, LEVELS.1).expect("they rise")
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.weight)?;
        match self.interval.levels() {
            LEVELS => Ok(()),
            (low, high) => write!(f, ":{low}:{high}"),
        }
    }
}

impl FromStr for History {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let expected = "WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more, LOW and HIGH noise levels";
        let wrong = || not_read(text, expected);
        let numbers: Result<Vec<f64>, _> = text.split(':').map(str::parse).collect();
        let history = match numbers.map_err(|_| wrong())?[..] {
            [weight] => Self::new(weight, levels()),
            [weight, low, high] => {
                NoiseInterval::new(low, high).and_then(|interval| Self::new(weight, interval))
            }
            _ => return Err(wrong()),
        };
        history.map_err(|cause| not_read(text, cause))
    }
}

duet_schedule::serde_as_text!(History);
