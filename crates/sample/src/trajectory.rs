//! The way from noise to images, one step at a time.

use crate::{Estimate, Guidance, Memory, Place, SampleError, Sampler, initial_noise, step_noise};
use candle_core::{Device, Tensor};

/// A batch of images on its way from noise.
#[derive(Debug, Clone)]
pub struct Trajectory {
    sampler: Sampler,
    seeds: Vec<u64>,
    labels: Option<Tensor>,
    shape: (usize, usize, usize),
    x: Tensor,
    /// As many as the sampler looks at, the newest last.
    estimates: Vec<Estimate>,
    memory: Memory,
    done: usize,
}

impl Trajectory {
    /// Starts one image for each seed. `shape` is (C, H, W); `labels` (n) u32 is none for an
    /// unconditional model.
    pub fn new(
        sampler: Sampler,
        seeds: &[u64],
        shape: (usize, usize, usize),
        labels: Option<Tensor>,
        device: &Device,
    ) -> Result<Self, SampleError> {
        if let Some(labels) = labels.as_ref().filter(|labels| labels.dims() != [seeds.len()]) {
            let message =
                format!("labels are {:?}, expected [{}], one for each seed", labels.dims(), seeds.len());
            return Err(SampleError::Setting(message));
        }
        let x = initial_noise(seeds, shape, device)?;
        Ok(Self {
            sampler,
            seeds: seeds.to_vec(),
            labels,
            shape,
            x,
            estimates: Vec::new(),
            memory: Memory::default(),
            done: 0,
        })
    }

    /// Starts from other noise, shape (n, C, H, W).
    pub fn with_noise(self, noise: Tensor) -> Result<Self, SampleError> {
        if noise.dims() != self.x.dims() {
            let message = format!("noise is {:?}, expected {:?}", noise.dims(), self.x.dims());
            return Err(SampleError::Setting(message));
        }
        Ok(Self { x: noise, ..self })
    }

    /// x at the current timestep, (n, C, H, W); the images once [`Trajectory::is_done`].
    pub fn x(&self) -> &Tensor {
        &self.x
    }

    /// The last step's x̂_0, (n, C, H, W): the images as far as they are known by now.
    pub fn x0(&self) -> Option<&Tensor> {
        self.estimates.last().map(|estimate| &estimate.x0)
    }

    /// Steps taken and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.sampler.steps().len())
    }

    /// Whether the last timestep is behind.
    pub fn is_done(&self) -> bool {
        self.done == self.sampler.steps().len()
    }

    /// Takes one step: `denoise` is called once with (x_t, t, labels), with 2n images where both
    /// of guidance's passes are needed. Does nothing once done.
    pub fn step<F>(&mut self, guidance: &Guidance, denoise: F) -> Result<(), SampleError>
    where
        F: FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError>,
    {
        let Some(&t) = self.sampler.steps().timesteps().get(self.done) else { return Ok(()) };
        let device = self.x.device();
        let times = Tensor::full(t as u32, self.seeds.len(), device)?;
        let alpha_bar = self.sampler.steps().alpha_bars()[self.done];
        let place = Place { step: self.done, steps: self.sampler.steps().len(), alpha_bar };
        let input = (&self.x, &times, self.labels.as_ref());
        let Estimate { x0, epsilon } =
            guidance.estimate(input, place, self.sampler.reading(), &mut self.memory, denoise)?;
        // candle records every op on a network's parameters: without the detach, the graph of all
        // steps would stay in memory.
        self.estimates.push(Estimate { x0: x0.detach(), epsilon: epsilon.detach() });
        if self.estimates.len() > self.sampler.memory() {
            self.estimates.remove(0);
        }
        let noise = match self.sampler.update(self.done).noise {
            0.0 => None,
            _ => Some(step_noise(&self.seeds, self.done, self.shape, device)?),
        };
        let x = guidance.explained(&self.x, self.estimates.last(), alpha_bar)?;
        self.x = self.sampler.step(self.done, &x, &self.estimates, noise.as_ref())?.detach();
        self.done += 1;
        Ok(())
    }
}
