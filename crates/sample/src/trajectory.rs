//! Sampling from noise to images, one step at a time.

use crate::error::SampleError;
use crate::estimate::Estimate;
use crate::guidance::{Guidance, Renoise};
use crate::guided::{GuidanceMemory, State};
use crate::known::Known;
use crate::labels::Labels;
use crate::noise::{self, initial_noise, step_noise};
use crate::question::Networks;
use crate::sampler::Sampler;
use crate::seen::Seen;
use candle_core::{Device, Tensor};

/// A batch of images on its way from noise.
#[derive(Debug, Clone)]
pub struct Trajectory {
    sampler: Sampler,
    seeds: Vec<u64>,
    /// For each image another seed, and the share of the way that its noise moves towards that seed's
    /// noise.
    towards: Option<(Vec<u64>, Vec<f64>)>,
    labels: Option<Labels>,
    shape: (usize, usize, usize),
    x: Tensor,
    /// As many estimates as the sampler uses, the newest last.
    estimates: Vec<Estimate>,
    memory: GuidanceMemory,
    known: Option<Known>,
    done: usize,
}

impl Trajectory {
    /// Starts one image for each seed. `shape` is (C, H, W). There is one label for each image, or none for
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

    /// Starts from this noise, (n, C, H, W), instead of the seeds'.
    pub fn with_noise(self, noise: Tensor) -> Result<Self, SampleError> {
        self.check_images("noise", &noise)?;
        Ok(Self { x: noise, ..self })
    }

    /// Draws images between those of two seeds. For each image, (other, u) moves its noise towards the
    /// noise of the seed `other`: not at all at u = 0, fully at u = 1
    /// ([`interpolate_noise`](crate::interpolate_noise)). This holds for the starting noise and for the
    /// noise of every step.
    ///
    /// Errors: not one pair for each image; a `u` outside 0 to 1.
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

    /// Starts from images (n, C, H, W) in [-1, 1], with the noise that the sampler's first step expects: √ᾱ
    /// x_0 + √(1-ᾱ) ε (SDEdit, Meng et al. 2022).
    ///
    /// Use it with the last of a sampler's [steps](duet_schedule::Steps::last): fewer steps stay closer to
    /// the images.
    pub fn with_images(self, images: &Tensor) -> Result<Self, SampleError> {
        self.check_images("images", images)?;
        let alpha_bar = self.sampler.steps().alpha_bars()[0];
        let x = ((images * alpha_bar.sqrt())? + (&self.x * (1.0 - alpha_bar).sqrt())?)?;
        Ok(Self { x, ..self })
    }

    /// Draws only the unknown part of the images.
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

    /// The last step's x̂_0, (n, C, H, W): the current guess of the images.
    pub fn x0(&self) -> Option<&Tensor> {
        self.estimates.last().map(|estimate| &estimate.x0)
    }

    /// The number of steps taken, and of all steps.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.sampler.steps().len())
    }

    /// Whether all steps are taken.
    pub fn is_done(&self) -> bool {
        self.done == self.sampler.steps().len()
    }

    /// Takes one step. It calls `denoise` once with (x_t, t, labels); they have one row for each prediction
    /// that guidance needs. When all steps are taken, it does nothing.
    /// Errors: as [`Trajectory::step_with`].
    pub fn step<F>(&mut self, guidance: &Guidance, mut denoise: F) -> Result<(), SampleError>
    where
        F: FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError>,
    {
        self.step_with(guidance, Networks { denoise: &mut denoise, guide: None })
    }

    /// Takes one step with these networks. Guidance by another network needs two.
    ///
    /// Errors: as [`Guidance::estimate`]; CFG++ with a sampler that evaluates the network twice in an
    /// interval.
    pub fn step_with(&mut self, guidance: &Guidance, networks: Networks<'_>) -> Result<(), SampleError> {
        self.step_seen(guidance, networks).map(drop)
    }

    /// As [`Trajectory::step_with`]; returns what the networks saw, or none when all steps are taken.
    pub fn step_seen(
        &mut self,
        guidance: &Guidance,
        mut networks: Networks<'_>,
    ) -> Result<Option<Seen>, SampleError> {
        if self.is_done() {
            return Ok(None);
        }
        if guidance.renoise == Renoise::Null && self.sampler.asks_twice() {
            let cause = "CFG++ puts noise back once a step, and heun asks twice: use another sampler";
            return Err(SampleError::Setting(cause.into()));
        }
        let place = self.sampler.place(self.done);
        let alpha_bar = place.alpha_bar;
        let state = State { x: &self.x, labels: self.labels.as_ref(), seeds: &self.seeds, place };
        let reading = self.sampler.reading();
        let (estimate, answers) = guidance.answered(state, reading, &mut self.memory, &mut networks)?;
        let Estimate { x0, epsilon } = match &self.known {
            Some(known) => known.put_into(estimate, &self.x, alpha_bar)?,
            None => estimate,
        };
        // candle records every op on a network's parameters. Without the detach, the graph of all steps
        // would stay in memory.
        let x0 = x0.detach();
        let (x, prediction) = (self.x.clone(), reading.prediction);
        let seen = Seen { place, x, x0: x0.clone(), prediction, answers };
        self.estimates.push(Estimate { x0, epsilon: epsilon.detach() });
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
        Ok(Some(seen))
    }

    /// The noise of the next step.
    fn step_noise(&self) -> candle_core::Result<Tensor> {
        let of = |seeds: &[u64]| step_noise(seeds, self.done, self.shape, self.x.device());
        let noise = of(&self.seeds)?;
        match &self.towards {
            None => Ok(noise),
            Some((others, u)) => noise::towards(&noise, &of(others)?, u),
        }
    }
}
