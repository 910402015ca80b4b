//! DDIM inversion: from images back to the noise that gives them.

use crate::error::SampleError;
use crate::guidance::{Guidance, Renoise};
use crate::guided::{GuidanceMemory, Reading, State};
use crate::labels::Labels;
use crate::question::Networks;
use crate::sampler::Sampler;
use candle_core::Tensor;
use duet_schedule::Clip;

/// DDIM inversion (Song et al. 2021, section 4.3), one step at a time from clean to noisy.
///
/// Each step looks for the x from which DDIM, with η = 0 and without clipping, steps to the given x': x =
/// √(ᾱ/ᾱ') (x' - √(1-ᾱ') ε̂(x, t)) + √(1-ᾱ) ε̂(x, t), It iterates this equation from x = x' (Pan et al.
/// 2023, equation 8). One iteration is the usual inversion, which takes ε̂(x', t). With more iterations,
/// sampling from the noise returns to the images. At high noise, ε̂ follows x too closely and the iteration
/// would not converge; there it iterates the same equation in x̂_0.
#[derive(Debug, Clone)]
pub struct Inversion {
    sampler: Sampler,
    labels: Option<Labels>,
    seeds: Vec<u64>,
    x: Tensor,
    iterations: usize,
    left: usize,
}

impl Inversion {
    /// Begins at images (n, C, H, W) in [-1, 1] and follows the steps of `sampler` backwards. Only the
    /// sampler's steps and prediction matter. `iterations` is at least 1.
    pub fn new(
        sampler: Sampler,
        images: Tensor,
        labels: Option<Labels>,
        iterations: usize,
    ) -> Result<Self, SampleError> {
        if iterations == 0 {
            return Err(SampleError::Setting("0 iterations: an inversion needs at least one".into()));
        }
        let (left, seeds) = (sampler.steps().len(), vec![0; images.dim(0)?]);
        Ok(Self { sampler, labels, seeds, x: images, iterations, left })
    }

    /// x at the current timestep, (n, C, H, W); the noise once [`Inversion::is_done`].
    pub fn x(&self) -> &Tensor {
        &self.x
    }

    /// Whether the noise is reached, at the sampler's first timestep.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Takes one step; each iteration calls the network once. When all is done, it does nothing.
    ///
    /// Errors: CFG++, because its steps are not DDIM's; history guidance and APG's momentum, because they
    /// need steps that have not been inverted yet; those of [`Guidance::estimate`].
    pub fn step(&mut self, guidance: &Guidance, mut networks: Networks<'_>) -> Result<(), SampleError> {
        let Some(step) = self.left.checked_sub(1) else { return Ok(()) };
        if guidance.renoise == Renoise::Null {
            return Err(SampleError::Setting("CFG++ cannot be inverted: its steps are not DDIM's".into()));
        }
        if guidance.remembers() {
            let cause = "history and momentum cannot be inverted: they remember noisier steps";
            return Err(SampleError::Setting(cause.into()));
        }
        let steps = self.sampler.steps();
        let (place, alpha_bars) = (self.sampler.place(step), steps.alpha_bars());
        let (alpha_bar, next) = (alpha_bars[step], alpha_bars[step + 1]);
        let reading = Reading { clip: Clip::No, ..self.sampler.reading() };
        let (by_epsilon, by_x0) = (Fixpoint::of_epsilon(alpha_bar, next), Fixpoint::of_x0(alpha_bar, next));
        let end = self.x.clone();
        for iteration in 0..self.iterations {
            let state = State { x: &self.x, labels: self.labels.as_ref(), seeds: &self.seeds, place };
            let estimate =
                guidance.estimate(state, reading, &mut GuidanceMemory::default(), &mut networks)?;
            let ((a, b), estimate) = match iteration > 0 && by_x0.rate < by_epsilon.rate {
                true => (by_x0.factors, estimate.x0),
                false => (by_epsilon.factors, estimate.epsilon),
            };
            self.x = ((&end * a)? + (estimate * b)?)?.detach();
        }
        self.left = step;
        Ok(())
    }
}

/// The equation x = a x' + b p, where p is an estimate at x.
struct Fixpoint {
    factors: (f64, f64),
    /// The factor by which an iteration shrinks an error, for normal data of variance 1.
    rate: f64,
}

impl Fixpoint {
    /// The equation in ε̂, whose derivative is √(1-ᾱ).
    fn of_epsilon(alpha_bar: f64, next: f64) -> Self {
        let a = (alpha_bar / next).sqrt();
        let b = (1.0 - alpha_bar).sqrt() - a * (1.0 - next).sqrt();
        Self { factors: (a, b), rate: (b * (1.0 - alpha_bar).sqrt()).abs() }
    }

    /// The equation in x̂_0, whose derivative is √ᾱ. It is infinite at ᾱ' = 1.
    fn of_x0(alpha_bar: f64, next: f64) -> Self {
        let a = ((1.0 - alpha_bar) / (1.0 - next)).sqrt();
        let b = alpha_bar.sqrt() - a * next.sqrt();
        Self { factors: (a, b), rate: (b * alpha_bar.sqrt()).abs() }
    }
}
