//! The guidance weight as a function of the step.

use crate::{Place, SampleError};
use std::f64::consts::PI;

/// How the weight grows over a trajectory, u from 0 at its first step to 1 at its last.
///
/// Weights that grow towards the image keep variety, which is decided at the beginning (Wang et al.
/// 2024); theirs have twice this slope.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum WeightSchedule {
    /// w.
    #[default]
    Constant,
    /// 1 + (w - 1) u.
    Linear,
    /// 1 + (w - 1) (1 - cos πu)/2.
    Cosine,
    /// One weight for each step, whatever w.
    List(Vec<f64>),
}

impl WeightSchedule {
    /// The weight at a place. Errors: a list of another length than the steps, or of no numbers.
    pub fn at(&self, w: f64, place: Place) -> Result<f64, SampleError> {
        let u = place.step as f64 / (place.steps.max(2) - 1) as f64;
        Ok(match self {
            Self::Constant => w,
            Self::Linear => 1.0 + (w - 1.0) * u,
            Self::Cosine => 1.0 + (w - 1.0) * (1.0 - (PI * u).cos()) / 2.0,
            Self::List(list) => match list.get(place.step) {
                Some(w) if list.len() == place.steps && w.is_finite() => *w,
                _ => {
                    let (count, steps) = (list.len(), place.steps);
                    return Err(SampleError::Setting(format!(
                        "{count} guidance weights for {steps} steps: one finite number for each is needed"
                    )));
                }
            },
        })
    }
}
