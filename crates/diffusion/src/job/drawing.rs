//! Drawings that several ranks draw.

use crate::draw::{Drawn, Sampling};
use crate::drawing::Drawing;
use crate::error::Result;
use crate::job::hands::{OnStep, Whole};
use crate::job::lead::Job;
use crate::job::order::Order;
pub(crate) use crate::job::order::Part;
use crate::model::Model;
use crate::model_files::{ALL_BITS, ModelFiles};
use crate::plan::Plan;
use duet_model::{Purpose, Snapshot};
use duet_sample::Labels;
use std::ops::Range;

/// Parts of a drawing for each rank: the last ones even out who is slow.
const PARTS_EACH: usize = 4;

/// The networks of a plan, ready for any number of parts.
pub(crate) struct Snapshots<'a> {
    pub network: Snapshot<'a>,
    pub guide: Option<Snapshot<'a>>,
}

impl<'a> Snapshots<'a> {
    pub fn of(plan: &Plan<'a>) -> Result<Self> {
        let network = plan.sampling.unet.snapshot(Purpose::Prediction)?;
        let guide = plan.sampling.guide.map(|unet| unet.snapshot(Purpose::Prediction)).transpose()?;
        Ok(Self { network, guide })
    }

    /// Draws a part here. `on_step` hears after each step how many images have taken it.
    pub fn draw(&self, plan: &Plan, part: &Part, on_step: &mut OnStep) -> Result<Drawn> {
        let all = &plan.sampling;
        let sampling = match part {
            Part::Images(range) => all.clone().of_images(range.clone())?,
            Part::Of { labels, seeds } => {
                let start = (labels.as_ref().map(|labels| Labels::new(labels)), seeds.clone());
                Sampling {
                    guide: all.guide,
                    batch: all.batch,
                    device: all.device,
                    ..Sampling::new(all.unet, all.sampler.clone(), all.guidance.clone(), start, all.shape)
                }
            }
        };
        sampling.draw_with(&self.network, self.guide.as_ref(), |trajectory| match trajectory.progress().0 {
            0 => Ok(()),
            _ => on_step(trajectory.x().dim(0)?),
        })
    }
}

/// The images of a drawing in parts for so many ranks, of at most `batch` images.
pub(crate) fn parts(images: usize, ranks: usize, batch: usize) -> Vec<Range<usize>> {
    let each = images.div_ceil(PARTS_EACH * ranks).clamp(1, batch);
    (0..images).step_by(each).map(|first| first..images.min(first + each)).collect()
}

/// How far a drawing is: every image takes every step of the sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denoised {
    /// Steps that images have taken.
    pub done: usize,
    /// Steps of all images.
    pub total: usize,
}

impl Plan<'_> {
    /// Draws everything, where the model has a job together with its other ranks: the images are the same. `on_step` hears
    /// how far it is, first at the start. Its error ends the drawing and is returned. A drawing that begins with a file is
    /// drawn by this process alone.
    ///
    /// # Errors
    /// As [`Plan::draw`]; a rank that is lost or has failed.
    pub fn draw_images(&self, mut on_step: impl FnMut(Denoised) -> Result<()>) -> Result<Drawn> {
        let images = self.sampling.seeds.len();
        let mut far = Denoised { done: 0, total: images * self.sampling.sampler.steps().len() };
        on_step(far)?;
        let mut more = |images| {
            far.done += images;
            on_step(far)
        };
        let Some(job) = self.job() else {
            return self.draw(|trajectory| match trajectory.progress().0 {
                0 => Ok(()),
                _ => more(trajectory.x().dim(0)?),
            });
        };
        let parts = parts(images, job.size(), self.sampling.batch).into_iter().map(Part::Images);
        job.draw((self, &Snapshots::of(self)?), parts.collect(), &mut more)
    }

    /// The job that draws it; none where this process alone does.
    pub(crate) fn job(&self) -> Option<&Job> {
        let Drawing { noise, image, mask, .. } = &self.drawing;
        let has_files = noise.is_some() || image.is_some() || mask.is_some();
        self.model.job.as_ref().filter(|job| job.size() > 1 && !has_files)
    }
}

impl Job {
    /// Draws parts of a plan with all ranks. `on_step` hears how many more images have taken a step.
    pub(crate) fn draw(
        &self,
        (plan, snapshots): (&Plan, &Snapshots),
        parts: Vec<Part>,
        on_step: &mut OnStep,
    ) -> Result<Drawn> {
        self.open(plan.model)?;
        let order = Order::Draw { drawing: Box::new(plan.drawing.clone()), batch: plan.sampling.batch };
        self.announce(&order, &[])?;
        let whole = Whole { steps: plan.sampling.sampler.steps().len(), shape: plan.sampling.shape };
        self.hand_out(whole, parts, &mut |part, on_step| snapshots.draw(plan, part, on_step), on_step)
    }

    /// Gives the others the model, unless they have it.
    fn open(&self, model: &Model) -> Result<()> {
        let of_guide = model.guide.as_ref().map(|guide| guide.hash()).transpose()?;
        // The settings of its run count too.
        let asked = serde_json::to_string(&(model.hash()?, of_guide, &model.sample))?;
        let mut known = self.0.model.lock().unwrap_or_else(|held| held.into_inner());
        if known.as_ref() == Some(&asked) {
            return Ok(());
        }
        let (files, mut payload) = ModelFiles::of(model, ALL_BITS)?;
        let weights = payload.len();
        let guide = match &model.guide {
            Some(guide) => {
                let (files, weights) = ModelFiles::of(guide, ALL_BITS)?;
                payload.extend(weights);
                Some(serde_json::to_value(files)?)
            }
            None => None,
        };
        let model = serde_json::to_value(files)?;
        self.announce(&Order::Open { model, weights, guide }, &payload)?;
        *known = Some(asked);
        Ok(())
    }
}
