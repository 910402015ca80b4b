//! What a student is taught.

use crate::error::{Error, Result, setting};
use duet_sample::{GuidanceInterval, History, Rule};
use duet_schedule::{Clip, Solver};
use serde::{Deserialize, Serialize};

/// What a student is taught, `[distill]` of its run's `config.toml`. Its teacher is the model that the run begins from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillConfig {
    /// Evaluations of the teacher for an image, a multiple of the student's.
    pub steps: usize,
    /// The teacher's w, where 1 is no guidance.
    pub guidance: f64,
    /// The teacher's sampler, which adds no noise and asks once a step. It begins anew in each step of the student.
    pub sampler: Solver,
    /// Where the teacher is guided.
    pub interval: GuidanceInterval,
    /// How the teacher's two predictions become one.
    pub rule: Rule,
    /// How far the teacher extrapolates each step from the previous one within the same step of the student.
    pub history: History,
    /// How the teacher's x̂_0 is clipped; none for what its scheduler says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Images of a set that is learnt from at a time.
    pub trajectories: usize,
    /// Steps of the optimiser for which a set is learnt from.
    pub refresh: u64,
    /// Sets that begin before this step are the teacher's own trajectories; later ones are the student's, from each of
    /// whose states the teacher goes on.
    pub led: u64,
}

impl DistillConfig {
    /// Checks what the parts do not check themselves.
    pub(crate) fn validate(&self, has_teacher: bool) -> Result<()> {
        let of = |name: &str, value: &dyn std::fmt::Display, range: &str| -> Result<(), Error> {
            Err(setting(format!("distill.{name} = {value}: must be {range}")))
        };
        match self {
            _ if !has_teacher => Err(setting(
                "[distill]: the teacher is missing, the model of [from]; `distill --run MODEL` names it",
            )),
            Self { steps: 0, .. } => of("steps", &0, "1 or more"),
            Self { trajectories: 0, .. } => of("trajectories", &0, "1 or more"),
            Self { refresh: 0, .. } => of("refresh", &0, "1 or more"),
            Self { guidance, .. } if !guidance.is_finite() => of("guidance", guidance, "a number"),
            _ => Ok(()),
        }
    }
}
