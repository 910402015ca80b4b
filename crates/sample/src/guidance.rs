//! Classifier-free guidance: from the network's answers to what a sampler steps with.

use crate::{Apg, Estimate, Interval, SampleError, WeightSchedule, cfg_zero, rescale};
use candle_core::{DType, Tensor};
use duet_schedule::{Clip, Prediction};

/// Classifier-free guidance (Ho & Salimans 2022, equation 6) and what can be varied about it.
///
/// p̃ = p(x, ∅) + w · (p(x, c) - p(x, ∅)). **w = 1 is no guidance** and w = 0 unconditional; larger
/// w trades variety for fidelity to the class. Ho & Salimans write (1 + w')p(x, c) - w'p(x, ∅):
/// w = 1 + w'. The rule holds for ε, v and x_0 predictions alike, which are affine in each other.
///
/// The network is asked twice in a step only where its answer for the null label counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// One for all images, or one for each.
    weights: Vec<f64>,
    null_label: Option<u32>,
    schedule: WeightSchedule,
    interval: Interval,
    rule: Rule,
    rescale: f64,
    renoise: Renoise,
}

/// How two predictions become one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Rule {
    /// Ho & Salimans 2022.
    #[default]
    Plain,
    /// With the null prediction scaled to fit the conditional one best (Fan et al. 2025,
    /// "CFG-Zero*").
    ZeroStar,
    /// Adaptive projected guidance (Sadat et al. 2024).
    Adaptive(Apg),
}

/// The noise that a step puts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renoise {
    /// What the guided x̂_0 leaves of x.
    #[default]
    Guided,
    /// The null prediction's ε: CFG++ (Chung et al. 2024), whose λ in [0, 1] is w here.
    Null,
}

/// Where on its way a trajectory is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Steps before this one.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// ᾱ at this step.
    pub alpha_bar: f64,
}

/// What guidance remembers from step to step; a new one for each trajectory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// APG's momentum, the shape of x.
    pub(crate) momentum: Option<Tensor>,
}

/// How a network's predictions are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What the network predicts.
    pub prediction: Prediction,
    /// What is done to x̂_0.
    pub clip: Clip,
}

impl Guidance {
    /// Constant weight w, any finite number. `null_label` is the label that stands for no class, or a
    /// class to be led away from; none for a model that was trained without one, which takes w = 1
    /// only.
    pub fn new(weight: f64, null_label: Option<u32>) -> Self {
        let (schedule, interval, rule, renoise) = Default::default();
        Self { weights: vec![weight], null_label, schedule, interval, rule, rescale: 0.0, renoise }
    }

    /// A weight for each image of the batch.
    pub fn with_weights(self, weights: Vec<f64>) -> Self {
        Self { weights, ..self }
    }

    /// The weight as a function of the step.
    pub fn with_schedule(self, schedule: WeightSchedule) -> Self {
        Self { schedule, ..self }
    }

    /// Guidance within an interval of noise levels alone; outside it, the null pass is not taken.
    pub fn with_interval(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    /// Another rule than the plain one.
    pub fn with_rule(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// φ from 0 (not at all) to 1: how far the guided prediction's deviation is brought back to the
    /// conditional one's (Lin et al. 2023, section 3.4).
    pub fn with_rescale(self, rescale: f64) -> Result<Self, SampleError> {
        if !(0.0..=1.0).contains(&rescale) {
            return Err(SampleError::Setting(format!("rescale {rescale}: must be 0 to 1")));
        }
        Ok(Self { rescale, ..self })
    }

    /// The noise that a step puts back.
    pub fn with_renoise(self, renoise: Renoise) -> Self {
        Self { renoise, ..self }
    }

    /// The same for a part of the batch.
    pub fn of_images(&self, range: std::ops::Range<usize>) -> Self {
        match self.weights.len() {
            1 => self.clone(),
            _ => Self { weights: self.weights[range].to_vec(), ..self.clone() },
        }
    }

    /// What the network is asked for at this place, and the weight of each image.
    fn passes(
        &self,
        place: Place,
        images: usize,
        conditional: bool,
    ) -> Result<(Passes, Vec<f64>), SampleError> {
        if let Some(w) = self.weights.iter().find(|w| !w.is_finite()) {
            return Err(SampleError::Setting(format!("guidance {w}: must be a finite number")));
        }
        if self.weights.len() != 1 && self.weights.len() != images {
            let count = self.weights.len();
            return Err(SampleError::Setting(format!("{count} guidance weights for {images} images")));
        }
        let inside = self.interval.contains(place.alpha_bar);
        let at = |&w: &f64| if inside { self.schedule.at(w, place) } else { Ok(1.0) };
        let weights = self.weights.iter().map(at).collect::<Result<Vec<f64>, _>>()?;
        // CFG++ renoises with the null prediction whatever the weight.
        let plus_plus = self.renoise == Renoise::Null && inside;
        let passes = match () {
            _ if !conditional => Passes::Conditional,
            _ if weights.iter().all(|&w| w == 1.0) && !plus_plus => Passes::Conditional,
            _ if weights.iter().all(|&w| w == 0.0) => Passes::Null,
            _ => Passes::Both,
        };
        Ok((passes, weights))
    }

    /// The guided estimate at (x, t), with one call of `denoise`: of 2n images where both passes are
    /// needed, conditional ones first, else of n.
    ///
    /// `labels` (n) u32 is none for an unconditional model, which has nothing to guide.
    pub fn estimate<F>(
        &self,
        (x, t, labels): (&Tensor, &Tensor, Option<&Tensor>),
        place: Place,
        reading: Reading,
        memory: &mut Memory,
        mut denoise: F,
    ) -> Result<Estimate, SampleError>
    where
        F: FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError>,
    {
        let Reading { prediction, clip } = reading;
        let one = |p: &Tensor| Estimate::new(x, p, prediction, place.alpha_bar, clip);
        let (passes, weights) = self.passes(place, x.dim(0)?, labels.is_some())?;
        let Some(labels) = labels.filter(|_| passes != Passes::Conditional) else {
            return one(&denoise(x, t, labels)?);
        };
        let Some(null) = self.null_label else {
            return Err(SampleError::Setting(format!(
                "guidance {}: the model has no null label, so only 1 works",
                self.weights[0]
            )));
        };
        let nulls = Tensor::full(null, labels.dims(), labels.device())?;
        if passes == Passes::Null {
            return one(&denoise(x, t, Some(&nulls))?);
        }
        let twice = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        let both = denoise(&twice(x, x)?, &twice(t, t)?, Some(&twice(labels, &nulls)?))?;
        let halves = both.chunk(2, 0)?;
        let (given, free) = (&halves[0], &halves[1]);
        let weights = per_image(&weights, x)?;
        let guided = match self.rule {
            Rule::Plain => plain(given, free, &weights)?,
            Rule::ZeroStar => plain(given, &cfg_zero::scaled(given, free)?, &weights)?,
            Rule::Adaptive(apg) => {
                let mix = |p: &Tensor, (of_x, of_p): (f64, f64)| (x * of_x)? + (p * of_p)?;
                let to_x0 = prediction.x0_coefficients(place.alpha_bar);
                let x0 = apg.guided(&mix(given, to_x0)?, &mix(free, to_x0)?, &weights, memory)?;
                // Back to a prediction, so that what follows is the same for every rule.
                mix(&x0, prediction.of_x0_coefficients(place.alpha_bar))?
            }
        };
        let guided = rescale::rescaled(&guided, given, self.rescale)?;
        let estimate = one(&guided)?;
        if self.renoise == Renoise::Guided {
            return Ok(estimate);
        }
        let of_free = Estimate::new(x, free, prediction, place.alpha_bar, Clip::No)?;
        Ok(Estimate { epsilon: of_free.epsilon, ..estimate })
    }

    /// What a sampler takes for x: x itself, or, where another noise is put back, what the estimate
    /// explains, √ᾱ x̂_0 + √(1-ᾱ) ε̂.
    pub(crate) fn explained(
        &self,
        x: &Tensor,
        estimate: Option<&Estimate>,
        alpha_bar: f64,
    ) -> Result<Tensor, SampleError> {
        match estimate.filter(|_| self.renoise == Renoise::Null) {
            Some(Estimate { x0, epsilon }) => {
                Ok(((x0 * alpha_bar.sqrt())? + (epsilon * (1.0 - alpha_bar).sqrt())?)?)
            }
            None => Ok(x.clone()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    Conditional,
    Null,
    Both,
}

/// p̃ = p(x, ∅) + w (p(x, c) - p(x, ∅))
fn plain(given: &Tensor, free: &Tensor, weights: &Tensor) -> Result<Tensor, SampleError> {
    Ok((free + (given - free)?.broadcast_mul(weights)?)?)
}

/// Weights as a tensor that broadcasts over x (n, ...).
fn per_image(weights: &[f64], x: &Tensor) -> Result<Tensor, SampleError> {
    let mut shape = vec![1; x.rank()];
    shape[0] = weights.len();
    let weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    Ok(Tensor::from_vec(weights, shape, x.device())?.to_dtype(DType::F32)?)
}
