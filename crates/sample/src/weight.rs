//! The guidance weight as a function of the step.

use crate::{Place, SampleError};
use std::f64::consts::PI;

/// How the weight grows over a trajectory from w_0, u from 0 at its first noise level to 1 at its last.
///
/// w_0 is 1, no guidance, and with CFG++ 0 (λ u, which stays within 0 to λ).
/// Weights that grow towards the image keep variety, which is decided at the beginning (Wang et al.
/// 2024); theirs have twice this slope.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum WeightSchedule {
    /// w.
    #[default]
    Constant,
    /// w_0 + (w - w_0) u.
    Linear,
    /// w_0 + (w - w_0) (1 - cos πu)/2.
    Cosine,
    /// One weight for each noise level, whatever w: for each step, and for each interval of Heun.
    List(Vec<f64>),
}

impl WeightSchedule {
    /// The weight at a place, of w_0 and w. Errors: a list of another length than the intervals, or of no
    /// numbers.
    pub fn at(&self, (first, w): (f64, f64), place: Place) -> Result<f64, SampleError> {
        let u = place.level() as f64 / (place.intervals.max(2) - 1) as f64;
        Ok(match self {
            Self::Constant => w,
            Self::Linear => first + (w - first) * u,
            Self::Cosine => first + (w - first) * (1.0 - (PI * u).cos()) / 2.0,
            Self::List(list) => match list.get(place.level()) {
                Some(w) if list.len() == place.intervals && w.is_finite() => *w,
                _ => {
                    let (count, steps) = (list.len(), place.intervals);
                    return Err(SampleError::Setting(format!(
                        "{count} guidance weights for {steps} steps, or intervals of heun: one finite number for each is \
                         needed"
                    )));
                }
            },
        })
    }
}
