//! What all requests share, and how a drawing is made ready for them.

use crate::asked::Wanted;
use crate::limits;
use crate::models::Models;
use crate::places::Places;
use crate::refusal::Refusal;
use crate::work::{Cancel, Queue};
use duet_diffusion::{Device, Drawing, Model, Plan, Preparation};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Images of a drawing that are drawn at once, and shown as soon as they are.
const BATCH: usize = 16;

/// Places, open models and the queue.
pub struct Studio {
    pub places: Places,
    pub models: Models,
    pub queue: Queue,
    /// Bytes that large bodies may still have, all together.
    pub bodies: Arc<Semaphore>,
    /// How commands call the program.
    pub program: String,
}

impl Studio {
    /// Makes a drawing ready within the limits, and does something with it. The fault of work that nobody waits for is
    /// that it is cancelled.
    pub fn with_plan<T>(
        &self,
        wanted: &Wanted,
        cancel: &Cancel,
        of_plan: impl FnOnce(Plan<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let model = self.models.of(&wanted.drawing, &self.places)?;
        check_limits(&wanted.drawing, &model, &self.program)?;
        let preparation = Preparation {
            batch: BATCH,
            device: &Device::Cpu,
            inputs: &wanted.inputs,
            on_step: &mut || cancel.check(),
        };
        let done =
            Plan::prepared(&wanted.drawing, &model, preparation).map_err(Refusal::from).and_then(of_plan);
        match cancel.is_cancelled() {
            true => Err(Refusal::cancelled()),
            false => done,
        }
    }
}

/// Refuses an image that the drawing has not.
pub fn check_index(plan: &Plan, index: usize) -> Result<(), Refusal> {
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
