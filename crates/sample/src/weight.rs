//! The guidance weight as a function of the step.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::place::Place;

/// How the weight changes over a trajectory. It starts at w_0; u goes from 0 at the first noise level to 1
/// at the last.
///
/// w_0 is 1 (no guidance), or 0 with CFG++ (so that λ u stays in 0 to λ). Weights that grow towards the
/// image keep variety, because the first steps decide the variety (Wang et al. 2024; their weights have
/// twice this slope).
///
/// As text: `constant`, `linear`, `cosine`, or a list such as `1,1.5,3`. Serde uses the same text.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum WeightSchedule {
    /// w.
    #[default]
    Constant,
    /// w_0 + (w - w_0) u.
    Linear,
    /// w_0 + (w - w_0) (1 - cos πu)/2.
    Cosine,
    /// One weight for each noise level; w plays no part. That is one for each step, or for each interval of
    /// Heun.
    List(Vec<f64>),
}

impl WeightSchedule {
    /// Checks the length of a list against the number of steps, or of intervals for a sampler with fewer
    /// intervals.
    /// Errors: a list of another length.
    pub fn check_count(&self, steps: usize) -> Result<(), SampleError> {
        match self {
            Self::List(list) if list.len() != steps => {
                let count = list.len();
                let cause = format!("{count} weights for {steps} steps; one for each is needed");
                Err(SampleError::Setting(cause))
            }
            _ => Ok(()),
        }
    }

    /// The weight at a place, from (w_0, w).
    /// Errors: a list whose length is not the number of intervals, or that has a number that is not finite.
    pub fn at(&self, (first, w): (f64, f64), place: Place) -> Result<f64, SampleError> {
        let u = place.level() as f64 / (place.intervals.max(2) - 1) as f64;
        self.check_for(place)?;
        Ok(match self {
            Self::Constant => w,
            Self::Linear => first + (w - first) * u,
            Self::Cosine => first + (w - first) * (1.0 - (PI * u).cos()) / 2.0,
            Self::List(list) => list[place.level()],
        })
    }

    /// Refuses a list whose length is not the number of intervals.
    pub(crate) fn check_for(&self, place: Place) -> Result<(), SampleError> {
        let Self::List(list) = self else { return Ok(()) };
        let fits = list.len() == place.intervals && place.level() < list.len();
        match fits && list.iter().all(|weight| weight.is_finite()) {
            true => Ok(()),
            false => {
                let (count, steps) = (list.len(), place.intervals);
                Err(SampleError::Setting(format!(
                    "{count} guidance weights for {steps} steps, or intervals of heun: one finite number for each is \
                     needed"
                )))
            }
        }
    }
}

impl fmt::Display for WeightSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Linear => f.write_str("linear"),
            Self::Cosine => f.write_str("cosine"),
            Self::List(list) => f.write_str(&list.iter().map(f64::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for WeightSchedule {
    type Err = SampleError;

    /// Errors: another word; a number that is not finite.
    fn from_str(text: &str) -> Result<Self, SampleError> {
        let number = |text: &str| text.trim().parse().ok().filter(|weight: &f64| weight.is_finite());
        Ok(match text {
            "constant" => Self::Constant,
            "linear" => Self::Linear,
            "cosine" => Self::Cosine,
            list => match list.split(',').map(number).collect() {
                Some(weights) => Self::List(weights),
                None => return Err(not_read(text, "constant, linear, cosine, or a number for each step")),
            },
        })
    }
}

duet_schedule::serde_as_text!(WeightSchedule);
