//! History guidance (Sadat et al. 2025, "HiGS: History-Guided Sampling").

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::estimate::Estimate;
use crate::noise_interval::NoiseInterval;
use crate::place::Place;
use candle_core::Tensor;

/// The default noise levels (low, high) in which steps are extrapolated.
const LEVELS: (f64, f64) = (0.5, 3.0);

/// Extrapolates each estimate from the previous step's: x̂_0 + κ · (x̂_0 - x̂_0'). x̂_0' is the guided
/// estimate of the previous step before its own extrapolation.
///
/// With more noise, an estimate is closer to the mean of all images that are still possible. The step away
/// from it therefore moves towards one particular image. This brings back variety that guidance by class
/// removes. It needs no evaluation of the network. It has a weight of its own, which works at every
/// guidance weight, also without guidance. The paper pushes away from an average of all steps, keeps the
/// orthogonal part, and favours high frequencies; this is its difference alone.
///
/// As text: the weight, such as `0.5`, or the weight and the noise levels, such as `0.5:0.3:3`. The default
/// levels are 0.5:3. Serde uses the same text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    weight: f64,
    interval: NoiseInterval,
}

impl Default for History {
    /// No extrapolation: κ = 0.
    fn default() -> Self {
        Self { weight: 0.0, interval: levels() }
    }
}

impl History {
    /// Extrapolates with weight κ ≥ 0 in an interval of noise levels; κ = 0 changes nothing. A step in
    /// almost pure noise has no useful estimate to move away from, and in the last steps extrapolation
    /// would only sharpen.
    /// Errors: a κ that is negative or not finite.
    pub fn new(weight: f64, interval: NoiseInterval) -> Result<Self, SampleError> {
        match weight >= 0.0 && weight.is_finite() {
            true => Ok(Self { weight, interval }),
            false => Err(SampleError::Setting(format!("history {weight}: must be 0 or more"))),
        }
    }

    /// Whether this changes nothing.
    pub(crate) fn is_none(&self) -> bool {
        self.weight == 0.0
    }

    /// The extrapolated x̂_0, or none if it stays as it is. At the start of an interval, `before` becomes
    /// this step's x̂_0.
    pub(crate) fn extrapolated(
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
        let extrapolated = |before: Tensor| Ok((x0 + ((x0 - before)? * self.weight)?)?);
        inside.map(extrapolated).transpose()
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
