//! Drawing images with a network, and laying them out.

use anyhow::Result;
use candle_core::{Device, Tensor};
use duet_data::Picture;
use duet_model::{Purpose, Snapshot, UNet};
use duet_sample::{Guidance, SampleError, Sampler, Trajectory};

/// What to draw: one image for each pair of label and seed.
pub struct Request<'a> {
    pub unet: &'a UNet,
    pub sampler: Sampler,
    pub guidance: Guidance,
    pub shape: (usize, usize, usize),
    /// Empty for an unconditional network.
    pub labels: Vec<u32>,
    pub seeds: Vec<u64>,
    /// Images at once, at least 1.
    pub batch: usize,
    pub device: &'a Device,
    /// Starting noise (n, C, H, W) instead of the seeds'.
    pub noise: Option<Tensor>,
}

impl Request<'_> {
    /// The images, (n, C, H, W) on the CPU. `on_step` sees each batch's trajectory at its start
    /// and after every step.
    pub fn draw(&self, mut on_step: impl FnMut(&Trajectory) -> Result<()>) -> Result<Tensor> {
        let snapshot = self.unet.snapshot(Purpose::Prediction)?;
        let mut images = Vec::new();
        for (i, seeds) in self.seeds.chunks(self.batch).enumerate() {
            let first = i * self.batch;
            let labels = match self.labels.is_empty() {
                true => None,
                false => Some(Tensor::new(&self.labels[first..first + seeds.len()], self.device)?),
            };
            let mut trajectory =
                Trajectory::new(self.sampler.clone(), seeds, self.shape, labels, self.device)?;
            if let Some(noise) = &self.noise {
                trajectory = trajectory.with_noise(noise.narrow(0, first, seeds.len())?)?;
            }
            let guidance = self.guidance.of_images(first..first + seeds.len());
            on_step(&trajectory)?;
            while !trajectory.is_done() {
                trajectory.step(&guidance, |x, t, labels| denoise(&snapshot, x, t, labels))?;
                on_step(&trajectory)?;
            }
            images.push(trajectory.x().to_device(&Device::Cpu)?);
        }
        Ok(Tensor::cat(&images, 0)?)
    }
}

fn denoise(
    snapshot: &Snapshot,
    x: &Tensor,
    t: &Tensor,
    labels: Option<&Tensor>,
) -> Result<Tensor, SampleError> {
    snapshot.predict(x, t, labels).map_err(|error| SampleError::Denoiser(error.into()))
}

/// Pictures of images (n, C, H, W) in [-1, 1]; of two or more than three channels, the first.
pub fn pictures(images: &Tensor) -> Result<Vec<Picture>> {
    let (count, channels, height, width) = images.dims4()?;
    let shown = if channels == 3 { 3 } else { 1 };
    let one = |i: usize| -> Result<Picture> {
        let values = images.get(i)?.narrow(0, 0, shown)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Picture::from_unit(shown, height, width, &values))
    };
    (0..count).map(one).collect()
}

/// One picture of all, `columns` in a row, each pixel `scale` pixels wide.
pub fn grid(images: &Tensor, columns: usize, scale: usize) -> Result<Picture> {
    Ok(Picture::grid(&pictures(images)?, columns, 1)?.scaled(scale))
}

/// Every label with every seed, label by label.
pub fn pairs(labels: &[u32], seeds: &[u64]) -> (Vec<u32>, Vec<u64>) {
    let all = labels.iter().flat_map(|&label| seeds.iter().map(move |&seed| (label, seed)));
    all.unzip()
}
