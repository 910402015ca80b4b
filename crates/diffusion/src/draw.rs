//! Drawing images with a network, and laying them out.

use crate::error::Result;
use candle_core::{Device, Tensor};
use duet_data::{Captions, Picture};
use duet_model::{Purpose, Snapshot, UNet};
use duet_sample::{Denoise, Guidance, Known, Labels, Networks, SampleError, Sampler, Seen, Trajectory};
use std::cell::Cell;
use std::ops::Range;

/// A network, a sampler and what each image begins with: one image for each seed.
#[derive(Clone)]
pub struct Sampling<'a> {
    /// The network.
    pub unet: &'a UNet,
    /// The network that guidance leads away from, where it is another one.
    pub guide: Option<&'a UNet>,
    /// From one timestep to the next.
    pub sampler: Sampler,
    /// Two predictions made one.
    pub guidance: Guidance,
    /// Channels, height and width.
    pub shape: (usize, usize, usize),
    /// None for an unconditional network.
    pub labels: Option<Labels>,
    /// Of each image's noise.
    pub seeds: Vec<u64>,
    /// Images at once, at least 1.
    pub batch: usize,
    /// Where the network is.
    pub device: &'a Device,
    /// For each image another seed and how far its noise is gone towards that one's; empty, or one each.
    pub towards: Vec<(u64, f64)>,
    /// Starting noise (n, C, H, W) instead of the seeds'.
    pub noise: Option<Tensor>,
    /// Images (n, C, H, W) to begin with, under the noise of the sampler's first step.
    pub images: Option<Tensor>,
    /// What is known of the images.
    pub known: Option<Known>,
}

/// What was drawn, and what it cost.
pub struct Drawn {
    /// (n, C, H, W) on the CPU.
    pub images: Tensor,
    /// Rows that went through a network.
    pub evaluations: usize,
}

impl<'a> Sampling<'a> {
    /// Images of these labels from noise alone, 64 at once.
    pub fn new(
        unet: &'a UNet,
        sampler: Sampler,
        guidance: Guidance,
        (labels, seeds): (Option<Labels>, Vec<u64>),
        shape: (usize, usize, usize),
    ) -> Self {
        let device = unet.device();
        let (guide, towards, noise, images, known) = Default::default();
        let batch = 64;
        Self {
            unet,
            guide,
            sampler,
            guidance,
            shape,
            labels,
            seeds,
            batch,
            device,
            towards,
            noise,
            images,
            known,
        }
    }

    /// The images. `on_step` sees each batch's trajectory at its start and after every step.
    ///
    /// # Errors
    /// Those of the network and of `on_step`, and where sampler, guidance and beginnings do not go together.
    pub fn draw(&self, mut on_step: impl FnMut(&Trajectory) -> Result<()>) -> Result<Drawn> {
        self.draw_seen(|trajectory, _| on_step(trajectory))
    }

    /// The same; `on_step` also sees what the networks saw in the step, which is nothing at a batch's start.
    ///
    /// # Errors
    /// As [`Sampling::draw`].
    pub fn draw_seen(&self, on_step: impl FnMut(&Trajectory, Option<&Seen>) -> Result<()>) -> Result<Drawn> {
        let network = self.unet.snapshot(Purpose::Prediction)?;
        let guide = self.guide.map(|unet| unet.snapshot(Purpose::Prediction)).transpose()?;
        self.stepped(&network, guide.as_ref(), on_step)
    }

    /// The same with snapshots that the caller has taken of the networks.
    ///
    /// # Errors
    /// As [`Sampling::draw`].
    pub fn draw_with(
        &self,
        network: &Snapshot,
        guide: Option<&Snapshot>,
        mut on_step: impl FnMut(&Trajectory) -> Result<()>,
    ) -> Result<Drawn> {
        self.stepped(network, guide, |trajectory, _| on_step(trajectory))
    }

    fn stepped(
        &self,
        network: &Snapshot,
        guide: Option<&Snapshot>,
        mut on_step: impl FnMut(&Trajectory, Option<&Seen>) -> Result<()>,
    ) -> Result<Drawn> {
        let evaluations = Cell::new(0);
        let mut denoise = counted(network, &evaluations);
        let mut beside = guide.map(|guide| counted(guide, &evaluations));
        let mut images = Vec::new();
        for first in (0..self.seeds.len()).step_by(self.batch) {
            let range = first..(first + self.batch).min(self.seeds.len());
            let mut trajectory = self.trajectory(range.clone())?;
            let guidance = self.guidance.of_images(range);
            on_step(&trajectory, None)?;
            while !trajectory.is_done() {
                let guide = beside.as_mut().map(|guide| guide as &mut Denoise<'_>);
                let seen = trajectory.step_seen(&guidance, Networks { denoise: &mut denoise, guide })?;
                on_step(&trajectory, seen.as_ref())?;
            }
            images.push(trajectory.x().to_device(&Device::Cpu)?);
        }
        Ok(Drawn { images: Tensor::cat(&images, 0)?, evaluations: evaluations.get() })
    }

    /// What all images start from, (n, C, H, W) on the CPU.
    ///
    /// # Errors
    /// Where beginnings and sampler do not go together.
    pub fn starting_noise(&self) -> Result<Tensor> {
        Ok(self.in_noise(0..self.seeds.len())?.x().to_device(&Device::Cpu)?)
    }

    fn in_noise(&self, range: Range<usize>) -> Result<Trajectory> {
        let labels = self.labels.as_ref().map(|labels| labels.of_images(range.clone()));
        let seeds = &self.seeds[range.clone()];
        let mut trajectory = Trajectory::new(self.sampler.clone(), seeds, self.shape, labels, self.device)?;
        if let Some(towards) = self.towards.get(range.clone()) {
            trajectory = trajectory.with_towards(towards)?;
        }
        if let Some(noise) = &self.noise {
            trajectory = trajectory.with_noise(part(noise, &range)?)?;
        }
        Ok(trajectory)
    }

    fn trajectory(&self, range: Range<usize>) -> Result<Trajectory> {
        let mut trajectory = self.in_noise(range.clone())?;
        if let Some(images) = &self.images {
            trajectory = trajectory.with_images(&part(images, &range)?)?;
        }
        Ok(match &self.known {
            Some(known) => trajectory.with_known(known.of_images(range)?)?,
            None => trajectory,
        })
    }

    /// The same for image `i` alone.
    ///
    /// # Errors
    /// Those of candle.
    ///
    /// # Panics
    /// Where there is no image `i`.
    pub fn only(self, i: usize) -> Result<Self> {
        self.of_images(i..i + 1)
    }

    /// The same for a part of the images.
    ///
    /// # Errors
    /// Those of candle.
    ///
    /// # Panics
    /// Where the range goes beyond the images.
    pub fn of_images(self, range: Range<usize>) -> Result<Self> {
        let tensor = |all: Tensor| part(&all, &range);
        Ok(Self {
            guidance: self.guidance.of_images(range.clone()),
            labels: self.labels.map(|labels| labels.of_images(range.clone())),
            seeds: self.seeds[range.clone()].to_vec(),
            towards: self.towards.get(range.clone()).unwrap_or_default().to_vec(),
            noise: self.noise.map(tensor).transpose()?,
            images: self.images.map(tensor).transpose()?,
            known: self.known.map(|known| known.of_images(range.clone())).transpose()?,
            ..self
        })
    }
}

/// What belongs to these images, of a tensor (n, ...) of all.
fn part(all: &Tensor, range: &Range<usize>) -> candle_core::Result<Tensor> {
    all.narrow(0, range.start, range.len())
}

/// The network as a function that counts what it is asked.
pub fn counted<'a>(
    network: &'a Snapshot,
    evaluations: &'a Cell<usize>,
) -> impl FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError> + 'a {
    |x, t, labels| {
        evaluations.set(evaluations.get() + x.dim(0)?);
        network.predict(x, t, labels).map_err(|error| SampleError::Denoiser(error.into()))
    }
}

/// The network as a function.
pub fn seam(
    network: &Snapshot,
) -> impl FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, Box<dyn std::error::Error + Send + Sync>>
{
    |x, t, labels| Ok(network.predict(x, t, labels)?)
}

/// A row of pictures for each class that has any, `columns` of them at most, under a title; a class with fewer has
/// white places.
///
/// # Errors
/// No picture at all, or pictures that differ in shape.
pub fn class_sheet(
    title: String,
    names: &[String],
    columns: usize,
    pictures_of: impl Fn(usize) -> Vec<Picture>,
) -> Result<Picture> {
    let (mut shown, mut rows) = (Vec::new(), Vec::new());
    for (class, name) in names.iter().enumerate() {
        let mut row = pictures_of(class);
        if let Some(first) = row.first() {
            let white = Picture { pixels: vec![255; first.pixels.len()], ..first.clone() };
            row.resize(columns, white);
            shown.extend(row);
            rows.push(name.clone());
        }
    }
    let captions = Captions { title, rows, columns: Vec::new() };
    Ok(Picture::captioned_grid(&shown, columns, 2, &captions)?)
}

/// Pictures of images (n, C, H, W) in [-1, 1]; of two or more than three channels, the first.
///
/// # Errors
/// Where they have another shape.
pub fn pictures(images: &Tensor) -> Result<Vec<Picture>> {
    let (count, channels, height, width) = images.dims4()?;
    let shown = if channels == 3 { 3 } else { 1 };
    let one = |i: usize| -> Result<Picture> {
        let values = images.get(i)?.narrow(0, 0, shown)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Picture::from_unit(shown, height, width, &values))
    };
    (0..count).map(one).collect()
}
