//! A sampler: each step of a trajectory is a sum of known tensors.

use crate::error::SampleError;
use crate::estimate::Estimate;
use crate::guided::Reading;
use crate::place::Place;
use candle_core::Tensor;
use duet_schedule::{
    Clip, Ddim, NoiseSchedule, Prediction, ScheduleError, Solver, Steps, Update, UpdateTable,
};

/// A sampler over fixed steps. Each step evaluates the network once.
#[derive(Debug, Clone)]
pub struct Sampler {
    table: UpdateTable,
    prediction: Prediction,
    clip: Clip,
}

impl Sampler {
    /// A sampler that leaves x̂_0 as it is.
    ///
    /// [`Heun`](duet_schedule::Heun) reads `steps` as intervals and takes two steps in most of them;
    /// [`Sampler::steps`] lists all steps. From ᾱ = 0, where λ is -∞ and σ infinite, every solver takes a
    /// step of order 1, and no later step uses the estimate made there.
    /// Errors: a setting of the solver out of its range; ε-prediction at ᾱ = 0, because ε then says nothing
    /// about x_0.
    pub fn new(steps: Steps, prediction: Prediction, solver: impl Into<Solver>) -> Result<Self, SampleError> {
        Self::of_table(solver.into().table(steps)?, prediction)
    }

    /// Your own sampler: in step `i`, `updates[i]` goes from the ᾱ of `steps` at `i` to that at `i` + 1.
    ///
    /// Each step evaluates the network once, at its beginning. An update combines x_t, the estimates x̂_0
    /// and ε̂ of its own step and of earlier ones, and noise from each image's seed: see [`Update`].
    /// Errors: a number of updates that is not the number of steps; a factor that is not finite; an update
    /// that uses more estimates than exist by then; ε-prediction at ᾱ = 0.
    pub fn from_updates(
        steps: Steps,
        updates: Vec<Update>,
        prediction: Prediction,
    ) -> Result<Self, SampleError> {
        Self::of_table(UpdateTable::new(steps, updates)?, prediction)
    }

    fn of_table(table: UpdateTable, prediction: Prediction) -> Result<Self, SampleError> {
        if prediction == Prediction::Epsilon && table.steps().alpha_bars()[0] == 0.0 {
            return Err(ScheduleError::EpsilonAtZeroSnr.into());
        }
        Ok(Self { table, prediction, clip: Clip::No })
    }

    /// DDIM with η from 0 to 1 between timesteps of a schedule. The timesteps fall strictly. Errors: as
    /// [`Steps::new`](duet_schedule::Steps::new) and [`Sampler::new`].
    pub fn ddim(
        schedule: &NoiseSchedule,
        timesteps: &[usize],
        prediction: Prediction,
        eta: f64,
    ) -> Result<Self, SampleError> {
        Self::new(Steps::new(schedule, timesteps)?, prediction, Ddim { eta })
    }

    /// This sampler with x̂_0 clipped before each step. Errors: a clip whose numbers are out of their
    /// range.
    pub fn with_clip(self, clip: Clip) -> Result<Self, SampleError> {
        Ok(Self { clip: clip.checked()?, ..self })
    }

    /// The steps between the noise levels, one for each evaluation of the network.
    pub fn steps(&self) -> &Steps {
        self.table.steps()
    }

    /// The factors of step `i`.
    pub fn update(&self, i: usize) -> &Update {
        &self.table.updates()[i]
    }

    /// The place of step `i`, for guidance.
    pub fn place(&self, i: usize) -> Place {
        let (steps, second) = (self.table.steps(), self.table.second());
        let intervals = |second: &[bool]| second.iter().filter(|second| !**second).count();
        Place {
            interval: intervals(&second[..=i]) - 1,
            intervals: intervals(second),
            at_end: second[i],
            timestep: steps.timesteps()[i],
            alpha_bar: steps.alpha_bars()[i],
        }
    }

    /// Whether the network is evaluated twice in an interval.
    pub(crate) fn asks_twice(&self) -> bool {
        self.table.second().contains(&true)
    }

    /// The largest number of estimates that a step uses.
    pub(crate) fn memory(&self) -> usize {
        self.table.updates().iter().map(Update::memory).max().unwrap_or(1)
    }

    /// How the network's predictions are read.
    pub fn reading(&self) -> Reading {
        Reading { prediction: self.prediction, clip: self.clip }
    }

    /// The estimates of image and noise from the prediction at step `i`.
    pub fn estimate(&self, i: usize, x: &Tensor, prediction: &Tensor) -> Result<Estimate, SampleError> {
        Estimate::new(x, prediction, self.prediction, self.steps().alpha_bars()[i], self.clip)
    }

    /// x after step `i`, from x before it and the estimates so far, the newest last.
    ///
    /// `noise` has the shape of x. It is needed if the update's factor for it is not 0.
    pub fn step(
        &self,
        i: usize,
        x: &Tensor,
        estimates: &[Estimate],
        noise: Option<&Tensor>,
    ) -> Result<Tensor, SampleError> {
        let Update { x: of_x, x0, epsilon, noise: of_noise } = self.update(i);
        if estimates.len() < self.update(i).memory() {
            let (has, needs) = (estimates.len(), self.update(i).memory());
            return Err(SampleError::Setting(format!("step {i} needs {needs} estimates, there are {has}")));
        }
        let newest = || estimates.iter().rev();
        let mut terms: Vec<(f64, &Tensor)> = vec![(*of_x, x)];
        terms.extend(x0.iter().copied().zip(newest().map(|estimate| &estimate.x0)));
        terms.extend(epsilon.iter().copied().zip(newest().map(|estimate| &estimate.epsilon)));
        match noise {
            Some(noise) => terms.push((*of_noise, noise)),
            None if *of_noise == 0.0 => {}
            None => return Err(SampleError::Setting(format!("step {i} adds noise, and there is none"))),
        }
        let mut terms = terms.into_iter().filter(|(factor, _)| *factor != 0.0);
        let Some((factor, first)) = terms.next() else { return Ok(x.zeros_like()?) };
        Ok(terms.try_fold((first * factor)?, |sum, (factor, term)| sum + (term * factor)?)?)
    }
}
