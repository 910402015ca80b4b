//! Few steps for many: lessons from a teacher's trajectories.

use crate::data_order::DataOrder;
use crate::error::TrainError;
use crate::lesson::Lesson;
use crate::trainer::{StepReport, Trainer};
use candle_core::{Device, Tensor};
use duet_schedule::Steps;

/// States of a teacher's deterministic trajectories at the noise levels of a student's steps.
#[derive(Debug, Clone)]
pub struct Trajectories {
    /// The class of each image; none for an unconditional network.
    pub labels: Option<Vec<u32>>,
    /// x at the beginning of each of the student's N steps and at the end of the last, N + 1 times (m, C, H, W).
    pub states: Vec<Tensor>,
}

/// Teaches a trainer's network to go in one step where a teacher goes in several.
///
/// From x_t on a teacher's trajectory, a DDIM step of the student is to lead to x_t', the state at the student's next
/// timestep. DDIM goes to x' = √ᾱ' x̂_0 + σ'/σ (x - √ᾱ x̂_0), σ = √(1-ᾱ), so that the lesson is
///
///   x_0' = (x' - σ'/σ x)/(√ᾱ' - √ᾱ σ'/σ)
///
/// (Salimans & Ho 2022, appendix G, for a teacher of two steps of DDIM; here it may take any number by any solver). At
/// each step the network sees pairs of a trajectory and a step, each pair once in an epoch, in an order of its seed.
#[derive(Debug)]
pub struct Distiller {
    steps: Steps,
    trajectories: Trajectories,
    order: DataOrder,
}

impl Distiller {
    /// For these steps of the student and these trajectories.
    ///
    /// Errors: not one state more than steps; states that differ in shape; not one label for each image; no image.
    pub fn new(steps: Steps, trajectories: Trajectories, seed: u64) -> Result<Self, TrainError> {
        let refuse = |message: String| Err(TrainError::Option(message));
        let Trajectories { labels, states } = &trajectories;
        if states.len() != steps.len() + 1 {
            let (states, steps) = (states.len(), steps.len());
            return refuse(format!("{states} states of trajectories for {steps} steps: one more is needed"));
        }
        let shape = states[0].dims4()?;
        if let Some(other) = states.iter().find(|state| state.dims() != states[0].dims()) {
            let (first, other) = (states[0].dims(), other.dims());
            return refuse(format!("states of trajectories of {first:?} and {other:?}: they must be alike"));
        }
        if shape.0 == 0 || labels.as_ref().is_some_and(|labels| labels.len() != shape.0) {
            let count = labels.as_ref().map_or(shape.0, Vec::len);
            return refuse(format!("{count} labels for {} trajectories", shape.0));
        }
        let order = DataOrder::new(seed, (shape.0 * steps.len()) as u32);
        Ok(Self { steps, trajectories, order })
    }

    /// The number of trajectories.
    pub fn count(&self) -> usize {
        self.trajectories.states[0].dims()[0]
    }

    /// The student's steps.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Takes the trainer's next step. Which lesson it is depends on the trainer's steps alone, so that a resumed
    /// distillation equals an unbroken one.
    ///
    /// Errors: as [`Trainer::step_towards`].
    pub fn step(&mut self, trainer: &mut Trainer) -> Result<StepReport, TrainError> {
        let lesson = self.lesson(trainer.images_seen(), trainer.images_per_step())?;
        trainer.step_towards(&lesson)
    }

    /// `count` pairs of a trajectory and a step, from the `first`-th pair seen on.
    pub fn lesson(&mut self, first: u64, count: usize) -> Result<Lesson, TrainError> {
        let steps = self.steps.len();
        let pairs: Vec<usize> = (first..first + count as u64).map(|i| self.order.image(i)).collect();
        let (mut x, mut x0) = (Vec::new(), Vec::new());
        for pair in &pairs {
            let (image, step) = (pair / steps, pair % steps);
            let [from, to] = [step, step + 1].map(|level| self.trajectories.states[level].get(image));
            let (from, to) = (from?, to?);
            let (of_to, of_from) = x0_coefficients(self.steps.alpha_bars(), step);
            x0.push(((to * of_to)? + (&from * of_from)?)?);
            x.push(from);
        }
        let labels = self.trajectories.labels.as_ref();
        Ok(Lesson {
            x: Tensor::stack(&x, 0)?,
            timesteps: pairs.iter().map(|pair| self.steps.timesteps()[pair % steps]).collect(),
            labels: labels.map(|labels| pairs.iter().map(|pair| labels[pair / steps]).collect()),
            x0: Tensor::stack(&x0, 0)?,
        })
    }

    /// The same trajectories on another device.
    pub fn to_device(self, device: &Device) -> Result<Self, TrainError> {
        let states = self.trajectories.states.iter().map(|state| state.to_device(device));
        let states = states.collect::<candle_core::Result<_>>()?;
        Ok(Self { trajectories: Trajectories { states, ..self.trajectories }, ..self })
    }
}

/// (a, b) in x_0' = a x' + b x for the step from level `i` to the next.
fn x0_coefficients(alpha_bars: &[f64], i: usize) -> (f64, f64) {
    let (now, next) = (alpha_bars[i], alpha_bars[i + 1]);
    // σ'/σ
    let ratio = ((1.0 - next) / (1.0 - now)).sqrt();
    let scale = next.sqrt() - now.sqrt() * ratio;
    (1.0 / scale, -ratio / scale)
}
