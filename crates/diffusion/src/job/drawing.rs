//! Drawings whose parts are handed out to the ranks as they finish others.

use crate::draw::{Drawn, Sampling};
use crate::drawing::Drawing;
use crate::error::{Error, Result};
use crate::job::lead::{Job, no_message};
pub(crate) use crate::job::order::Part;
use crate::job::order::{self, Answer, Order, Work};
use crate::model::Model;
use crate::model_files::ModelFiles;
use crate::plan::Plan;
use candle_core::{Device, Tensor};
use duet_model::{Purpose, Snapshot};
use duet_ranks::{Channel, Ranks};
use duet_sample::{Labels, Trajectory};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Every bit of a weight's fraction.
const ALL_BITS: u32 = 23;
/// Parts that a rank has at once, so that it does not wait for the next.
const AHEAD: usize = 2;
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

    /// Draws a part here.
    pub fn draw(
        &self,
        plan: &Plan,
        part: &Part,
        on_step: impl FnMut(&Trajectory) -> Result<()>,
    ) -> Result<Drawn> {
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
        sampling.draw_with(&self.network, self.guide.as_ref(), on_step)
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
        on_step: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Drawn> {
        self.open(plan.model)?;
        let order = Order::Draw { drawing: Box::new(plan.drawing.clone()), batch: plan.sampling.batch };
        self.announce(&order, &[])?;
        let mut hands = Hands {
            job: self,
            steps: plan.sampling.sampler.steps().len(),
            shape: plan.sampling.shape,
            left: parts.into_iter().enumerate().collect(),
            out: 0,
            drawn: BTreeMap::new(),
            evaluations: 0,
        };
        match hands.draw((plan, snapshots), on_step) {
            Ok(()) => hands.finish(),
            Err(error @ Error::Rank(_)) => Err(error),
            Err(error) => {
                hands.leave()?;
                Err(error)
            }
        }
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

/// The parts of a drawing, in the hands of the ranks.
struct Hands<'a> {
    job: &'a Job,
    /// Steps of an image.
    steps: usize,
    shape: (usize, usize, usize),
    left: VecDeque<(usize, Part)>,
    /// Parts that other ranks have.
    out: usize,
    drawn: BTreeMap<usize, Tensor>,
    evaluations: usize,
}

impl Hands<'_> {
    fn ranks(&self) -> &Ranks {
        self.job.ranks()
    }

    fn draw(
        &mut self,
        (plan, snapshots): (&Plan, &Snapshots),
        on_step: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        // One each before anybody has two.
        for to in (0..AHEAD).flat_map(|_| 1..self.job.size()) {
            self.hand_out(to)?;
        }
        while let Some((number, part)) = self.left.pop_front() {
            let drawn = snapshots.draw(plan, &part, |trajectory| {
                if trajectory.progress().0 > 0 {
                    on_step(trajectory.x().dim(0)?)?;
                }
                while let Some(answer) = self.ranks().receive_now(Channel::Answer)? {
                    self.take(answer, on_step)?;
                }
                Ok(())
            })?;
            self.drawn.insert(number, drawn.images);
            self.evaluations += drawn.evaluations;
        }
        while self.out > 0 {
            let answer = self.ranks().receive_any(Channel::Answer)?;
            self.take(answer, on_step)?;
        }
        Ok(())
    }

    /// Gives a rank the next part, if one is left.
    fn hand_out(&mut self, to: usize) -> Result<()> {
        if let Some((number, part)) = self.left.pop_front() {
            self.ranks().send(to, Channel::Work, order::to_bytes(&Work::Draw { number, part }, &[])?);
            self.out += 1;
        }
        Ok(())
    }

    /// Takes what a rank has drawn, and gives it more.
    fn take(
        &mut self,
        (rank, bytes): (usize, Vec<u8>),
        on_step: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let (answer, values) = Answer::read(&bytes).map_err(no_message(rank))?;
        let Answer::Drawn { part, evaluations } = answer else {
            return Err(no_message(rank)("no images").into());
        };
        let (channels, height, width) = self.shape;
        let values = order::values_of(values).map_err(no_message(rank))?;
        let image = channels * height * width;
        if !values.len().is_multiple_of(image) {
            return Err(no_message(rank)("images of another size").into());
        }
        let count = values.len() / image;
        let images = Tensor::from_vec(values, (count, channels, height, width), &Device::Cpu)?;
        self.out -= 1;
        self.hand_out(rank)?;
        self.drawn.insert(part, images);
        self.evaluations += evaluations;
        on_step(count * self.steps)
    }

    /// Tells the ranks that there is no more; all images in the order of the parts.
    fn finish(self) -> Result<Drawn> {
        self.tell(&Work::Done)?;
        let images: Vec<Tensor> = self.drawn.into_values().collect();
        Ok(Drawn { images: Tensor::cat(&images, 0)?, evaluations: self.evaluations })
    }

    /// Tells the ranks to leave what they draw, and waits until all have.
    fn leave(self) -> Result<()> {
        self.tell(&Work::Leave)?;
        let mut waits = self.job.size() - 1;
        while waits > 0 {
            let (rank, bytes) = self.ranks().receive_any(Channel::Answer)?;
            if let Answer::Left = Answer::read(&bytes).map_err(no_message(rank))?.0 {
                waits -= 1;
            }
        }
        Ok(())
    }

    fn tell(&self, work: &Work) -> Result<()> {
        let message = order::to_bytes(work, &[])?;
        (1..self.job.size()).for_each(|to| self.ranks().send(to, Channel::Work, message.clone()));
        Ok(())
    }
}
