//! A sampler as a table of numbers.

use crate::error::ScheduleError;
use crate::steps::Steps;

/// One step as a sum: x' = x · x_t + Σ x0\[k\] · x̂_0 + Σ epsilon\[k\] · ε̂ + noise · z.
///
/// k counts backwards: 0 is the step's own estimate, 1 the one before. x_t, x̂_0, ε̂ and z all have the
/// shape of the images. Every rule that is linear in the network's answers has this form, with one sum for
/// each evaluation. A sampler is therefore a table of numbers, computed in f64.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Update {
    /// Factor of x_t.
    pub x: f64,
    /// Factors of the estimates x̂_0, newest first.
    pub x0: Vec<f64>,
    /// Factors of the estimates ε̂, newest first.
    pub epsilon: Vec<f64>,
    /// Factor of standard normal noise.
    pub noise: f64,
}

impl Update {
    /// The number of estimates that it uses.
    pub fn memory(&self) -> usize {
        self.x0.len().max(self.epsilon.len())
    }
}

/// An [`Update`] for each evaluation of the network, and the noise levels between which the updates go.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateTable {
    steps: Steps,
    updates: Vec<Update>,
    second: Vec<bool>,
}

impl UpdateTable {
    /// Update `i` goes from the ᾱ of `steps` at `i` to that at `i` + 1.
    ///
    /// Errors: a number of updates that is not the number of steps; a factor that is not finite; an update
    /// that uses more estimates than exist by then.
    pub fn new(steps: Steps, updates: Vec<Update>) -> Result<Self, ScheduleError> {
        if updates.len() != steps.len() {
            let (updates, steps) = (updates.len(), steps.len());
            return Err(ScheduleError::Updates(format!(
                "{updates} of them for {steps} steps: one each is needed"
            )));
        }
        for (i, update) in updates.iter().enumerate() {
            let factors = [&[update.x, update.noise][..], &update.x0, &update.epsilon].concat();
            if let Some(factor) = factors.iter().find(|factor| !factor.is_finite()) {
                return Err(ScheduleError::Updates(format!("factor {factor} in step {i}: must be finite")));
            }
            if update.memory() > i + 1 {
                let (needs, has) = (update.memory(), i + 1);
                return Err(ScheduleError::Updates(format!("step {i} looks at {needs} estimates of {has}")));
            }
        }
        let second = vec![false; updates.len()];
        Ok(Self { steps, updates, second })
    }

    /// This table, with a mark for each step that evaluates the network at the end of an interval, after
    /// the step before it did so at the interval's start.
    pub(crate) fn with_second(self, second: Vec<bool>) -> Self {
        Self { second, ..self }
    }

    /// The steps between the noise levels, one for each evaluation of the network.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// One for each step.
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// For each step, whether it evaluates the network at the end of an interval, after the step before it
    /// did so at the interval's start.
    pub fn second(&self) -> &[bool] {
        &self.second
    }
}
