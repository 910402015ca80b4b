//! A sampler: the steps of a trajectory as sums of what is known.

use crate::{Estimate, Place, Reading, SampleError, ddim, ddpm, dpm_solver, euler, heun, unipc};
use candle_core::Tensor;
use duet_schedule::{Clip, NoiseSchedule, Prediction, ScheduleError, Solver, Steps};

/// One step as a sum: x' = x · x_t + Σ x0\[k\] · x̂_0 + Σ epsilon\[k\] · ε̂ + noise · z.
///
/// k counts backwards: 0 is the step's own estimate, 1 the one before. Every rule that is linear in
/// what the network says has this form, one sum for each time that it is asked, so a sampler is a
/// table of numbers, computed in f64.
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

/// A sampler over fixed steps, in each of which the network is asked once.
#[derive(Debug, Clone)]
pub struct Sampler {
    steps: Steps,
    updates: Vec<Update>,
    /// Whether the network is asked at the end of an interval at whose start it was asked.
    second: Vec<bool>,
    prediction: Prediction,
    clip: Clip,
}

impl Sampler {
    /// A sampler that leaves x̂_0 as it is.
    ///
    /// [`Solver::Heun`] takes `steps` for its intervals and has two steps for most of them:
    /// [`Sampler::steps`] is what is gone through. From ᾱ = 0, where λ is -∞ and σ infinite, every rule
    /// takes a step of order 1, and none looks back to it.
    /// Errors: a setting of the solver out of its range; ε-prediction where ᾱ = 0, of which it says
    /// nothing.
    pub fn new(steps: Steps, prediction: Prediction, solver: Solver) -> Result<Self, SampleError> {
        let alpha_bars = steps.alpha_bars();
        if prediction == Prediction::Epsilon && alpha_bars[0] == 0.0 {
            return Err(ScheduleError::EpsilonAtZeroSnr.into());
        }
        let updates = match solver {
            Solver::Ddim { eta } => ddim::updates(alpha_bars, eta)?,
            Solver::Ddpm { variance } => ddpm::updates(alpha_bars, variance),
            Solver::DpmSolver(settings) => dpm_solver::updates(alpha_bars, settings)?,
            Solver::UniPc(settings) => unipc::updates(alpha_bars, settings)?,
            Solver::Euler => euler::updates(alpha_bars),
            Solver::Heun => {
                let (steps, updates, second) = heun::expanded(&steps)?;
                return Ok(Self { steps, updates, second, prediction, clip: Clip::No });
            }
        };
        let second = vec![false; updates.len()];
        Ok(Self { steps, updates, second, prediction, clip: Clip::No })
    }

    /// DDIM with η from 0 to 1 between timesteps of a schedule, which fall strictly.
    pub fn ddim(
        schedule: &NoiseSchedule,
        timesteps: &[usize],
        prediction: Prediction,
        eta: f64,
    ) -> Result<Self, SampleError> {
        Self::new(Steps::new(schedule, timesteps)?, prediction, Solver::Ddim { eta })
    }

    /// The same with x̂_0 clipped before each step.
    pub fn with_clip(self, clip: Clip) -> Self {
        Self { clip, ..self }
    }

    /// From which noise to which, one for each time that the network is asked.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The step's sum.
    pub fn update(&self, i: usize) -> &Update {
        &self.updates[i]
    }

    /// Where step `i` is on the way, for guidance.
    pub fn place(&self, i: usize) -> Place {
        let intervals = |second: &[bool]| second.iter().filter(|second| !**second).count();
        Place {
            interval: intervals(&self.second[..=i]) - 1,
            intervals: intervals(&self.second),
            at_end: self.second[i],
            timestep: self.steps.timesteps()[i],
            alpha_bar: self.steps.alpha_bars()[i],
        }
    }

    /// Whether the network is asked twice in an interval.
    pub(crate) fn asks_twice(&self) -> bool {
        self.second.contains(&true)
    }

    /// How many estimates a step looks at, at most.
    pub(crate) fn memory(&self) -> usize {
        self.updates.iter().map(|update| update.x0.len().max(update.epsilon.len())).max().unwrap_or(1)
    }

    /// How the network's predictions are read.
    pub fn reading(&self) -> Reading {
        Reading { prediction: self.prediction, clip: self.clip }
    }

    /// What the prediction at step `i` says about image and noise.
    pub fn estimate(&self, i: usize, x: &Tensor, prediction: &Tensor) -> Result<Estimate, SampleError> {
        Estimate::new(x, prediction, self.prediction, self.steps.alpha_bars()[i], self.clip)
    }

    /// x after step `i`, from x before it and the estimates so far, the newest last.
    ///
    /// `noise` has the shape of x and is needed where the update's factor of it is not 0.
    pub fn step(
        &self,
        i: usize,
        x: &Tensor,
        estimates: &[Estimate],
        noise: Option<&Tensor>,
    ) -> Result<Tensor, SampleError> {
        let Update { x: of_x, x0, epsilon, noise: of_noise } = &self.updates[i];
        if estimates.len() < x0.len().max(epsilon.len()) {
            let (has, needs) = (estimates.len(), x0.len().max(epsilon.len()));
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
