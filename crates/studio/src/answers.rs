//! A model with what its answers need, and how a drawing is made ready for them.

use crate::asked::Wanted;
use crate::cancel::Cancel;
use crate::limits;
use crate::refusal::Refusal;
use duet_diffusion::{Device, Drawing, Model, Plan, Preparation};

/// A model, and what is said of it.
pub struct Answers<'a> {
    /// Draws and classifies.
    pub model: &'a Model,
    /// Images of a drawing that are drawn at once, and shown as soon as they are.
    pub batch: usize,
    /// How commands call the program.
    pub program: &'a str,
}

impl Answers<'_> {
    /// Makes a drawing ready within the limits, and does something with it. The fault of work that nobody waits for is
    /// that it is cancelled.
    pub(crate) fn with_plan<T>(
        &self,
        wanted: &Wanted,
        cancel: &Cancel,
        of_plan: impl FnOnce(Plan<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        check_limits(&wanted.drawing, self.model, self.program)?;
        let preparation = Preparation {
            batch: self.batch,
            device: &Device::Cpu,
            inputs: &wanted.inputs,
            on_step: &mut || cancel.check(),
        };
        let done =
            Plan::prepared(&wanted.drawing, self.model, preparation).map_err(Refusal::from).and_then(of_plan);
        match cancel.is_cancelled() {
            true => Err(Refusal::cancelled()),
            false => done,
        }
    }
}

/// Refuses an image that the drawing has not.
pub(crate) fn check_index(plan: &Plan, index: usize) -> Result<(), Refusal> {
    let images = plan.sampling.seeds.len();
    match index < images {
        true => Ok(()),
        false => Err(Refusal::bad(format!("index {index}: the drawing has {images} images, from 0 on"))),
    }
}

fn check_limits(drawing: &Drawing, model: &Model, program: &str) -> Result<(), Refusal> {
    let images = Plan::count(drawing, model)?;
    if images > limits::IMAGES {
        return Err(Refusal::beyond(format!(
            "{images} images: at most {} are drawn at once here; `{program} sample` draws more",
            limits::IMAGES
        ))
        .of("seeds"));
    }
    let steps = Plan::resolved(drawing, model)?.steps.unwrap_or(1) as u64;
    let inversion = steps.saturating_mul(drawing.invert.unwrap_or(0) as u64);
    let evaluations = images.saturating_mul(steps).max(inversion);
    if evaluations > limits::EVALUATIONS {
        return Err(Refusal::beyond(format!(
            "{images} images of {steps} steps: images times steps are at most {} here; `{program} sample` draws more",
            limits::EVALUATIONS
        ))
        .of("steps"));
    }
    Ok(())
}
