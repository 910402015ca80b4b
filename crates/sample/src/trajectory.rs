//! The way from noise to images, one step at a time.

use crate::error::SampleError;
use crate::estimate::Estimate;
use crate::guidance::{Guidance, Renoise};
use crate::guided::{GuidanceMemory, State};
use crate::known::Known;
use crate::labels::Labels;
use crate::noise::{self, initial_noise, step_noise};
use crate::question::Networks;
use crate::sampler::Sampler;
use candle_core::{Device, Tensor};

/// A batch of images on its way from noise.
#[derive(Debug, Clone)]
pub struct Trajectory {
    sampler: Sampler,
    seeds: Vec<u64>,
    /// For each image another seed, and how far its noise is gone towards that one's.
    towards: Option<(Vec<u64>, Vec<f64>)>,
    labels: Option<Labels>,
    shape: (usize, usize, usize),
    x: Tensor,
    /// As many as the sampler looks at, the newest last.
    estimates: Vec<Estimate>,
    memory: GuidanceMemory,
    known: Option<Known>,
    done: usize,
}

impl Trajectory {
    /// Starts one image for each seed. `shape` is (C, H, W); `labels`, one for each image, are none for
    /// an unconditional network.
    pub fn new(
        sampler: Sampler,
        seeds: &[u64],
        shape: (usize, usize, usize),
        labels: Option<Labels>,
        device: &Device,
    ) -> Result<Self, SampleError> {
        if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != seeds.len()) {
            let (labels, seeds) = (labels.len(), seeds.len());
            return Err(SampleError::Setting(format!(
                "{labels} labels for {seeds} seeds: one each is needed"
            )));
        }
        let x = initial_noise(seeds, shape, device)?;
        Ok(Self {
            sampler,
            seeds: seeds.to_vec(),
            towards: None,
            labels,
            shape,
            x,
            estimates: Vec::new(),
            memory: GuidanceMemory::default(),
            known: None,
            done: 0,
        })
    }

    /// Starts from other noise, shape (n, C, H, W).
    pub fn with_noise(self, noise: Tensor) -> Result<Self, SampleError> {
        self.check_images("noise", &noise)?;
        Ok(Self { x: noise, ..self })
    }

    /// Draws images between those of two seeds: each (other, u) takes an image's noise, at the start and
    /// on the way, `u` from 0 to 1 of the way to that of the seed `other`, as
    /// [`interpolate_noise`](crate::interpolate_noise) has it.
    ///
    /// Errors: another number of them than of images; a `u` outside 0 to 1.
    pub fn with_towards(self, towards: &[(u64, f64)]) -> Result<Self, SampleError> {
        if towards.len() != self.seeds.len() {
            let (ends, seeds) = (towards.len(), self.seeds.len());
            return Err(SampleError::Setting(format!("{ends} other seeds for {seeds}: one each is needed")));
        }
        if let Some((_, u)) = towards.iter().find(|(_, u)| !(0.0..=1.0).contains(u)) {
            return Err(SampleError::Setting(format!("{u} of the way to another seed: must be 0 to 1")));
        }
        let (others, u): (Vec<u64>, Vec<f64>) = towards.iter().copied().unzip();
        let noise = initial_noise(&others, self.shape, self.x.device())?;
        Ok(Self { x: noise::towards(&self.x, &noise, &u)?, towards: Some((others, u)), ..self })
    }

    /// Starts from images (n, C, H, W) with as much of the noise as the sampler's first step expects:
    /// √ᾱ x_0 + √(1-ᾱ) ε (SDEdit, Meng et al. 2022).
    ///
    /// With the last of a sampler's [steps](duet_schedule::Steps::last), the fewer the closer to the
    /// images.
    pub fn with_images(self, images: &Tensor) -> Result<Self, SampleError> {
        self.check_images("images", images)?;
        let alpha_bar = self.sampler.steps().alpha_bars()[0];
        let x = ((images * alpha_bar.sqrt())? + (&self.x * (1.0 - alpha_bar).sqrt())?)?;
        Ok(Self { x, ..self })
    }

    /// Draws only what is not known of the images.
    pub fn with_known(self, known: Known) -> Result<Self, SampleError> {
        self.check_images("known images", known.images())?;
        Ok(Self { known: Some(known), ..self })
    }

    fn check_images(&self, what: &str, images: &Tensor) -> Result<(), SampleError> {
        match images.dims() == self.x.dims() {
            true => Ok(()),
            false => {
                let (got, expected) = (images.dims(), self.x.dims());
                Err(SampleError::Setting(format!("{what} {got:?}: expected {expected:?}")))
            }
        }
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

    /// Takes one step: `denoise` is called once with (x_t, t, labels), with one row for each prediction
    /// that guidance needs. Does nothing once done.
    pub fn step<F>(&mut self, guidance: &Guidance, mut denoise: F) -> Result<(), SampleError>
    where
        F: FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError>,
    {
        self.step_with(guidance, Networks { denoise: &mut denoise, guide: None })
    }

    /// Takes one step with the networks named, as guidance by another network needs it.
    ///
    /// Errors: as [`Guidance::estimate`]; CFG++ with a sampler that asks twice in an interval.
    pub fn step_with(&mut self, guidance: &Guidance, mut networks: Networks<'_>) -> Result<(), SampleError> {
        if self.is_done() {
            return Ok(());
        }
        if guidance.renoise == Renoise::Null && self.sampler.asks_twice() {
            let cause = "CFG++ puts noise back once a step, and heun asks twice: use another sampler";
            return Err(SampleError::Setting(cause.into()));
        }
        let place = self.sampler.place(self.done);
        let alpha_bar = place.alpha_bar;
        let state = State { x: &self.x, labels: self.labels.as_ref(), seeds: &self.seeds, place };
        let estimate = guidance.estimate(state, self.sampler.reading(), &mut self.memory, &mut networks)?;
        let Estimate { x0, epsilon } = match &self.known {
            Some(known) => known.put_into(estimate, &self.x, alpha_bar)?,
            None => estimate,
        };
        // candle records every op on a network's parameters: without the detach, the graph of all
        // steps would stay in memory.
        self.estimates.push(Estimate { x0: x0.detach(), epsilon: epsilon.detach() });
        if self.estimates.len() > self.sampler.memory() {
            self.estimates.remove(0);
        }
        let noise = match self.sampler.update(self.done).noise {
            0.0 => None,
            _ => Some(self.step_noise()?),
        };
        let x = guidance.explained(&self.x, self.estimates.last(), alpha_bar)?;
        self.x = self.sampler.step(self.done, &x, &self.estimates, noise.as_ref())?.detach();
        self.done += 1;
        Ok(())
    }

    /// The noise of the step to come.
    fn step_noise(&self) -> candle_core::Result<Tensor> {
        let of = |seeds: &[u64]| step_noise(seeds, self.done, self.shape, self.x.device());
        let noise = of(&self.seeds)?;
        match &self.towards {
            None => Ok(noise),
            Some((others, u)) => noise::towards(&noise, &of(others)?, u),
        }
    }
}
