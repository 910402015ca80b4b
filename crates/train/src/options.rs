//! The hyper-parameters of diffusion and of training.

use crate::error::TrainError;
use crate::flip::Flip;
use crate::loss_weighting::LossWeighting;
use crate::optimizer::Optimizer;
use crate::timestep_sampling::TimestepSampling;
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction, beta_range};
use serde::{Deserialize, Serialize};

/// The noise that the network learns to remove, and what it predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diffusion {
    /// T, the number of timesteps.
    pub timesteps: usize,
    /// "linear", "scaled_linear", "cosine" or "sigmoid".
    pub schedule: BetaSchedule,
    /// The first β of "linear" and "scaled_linear", in (0, 1); the default is 1e-4 · 1000/T (Ho et al.
    /// 2020).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// The last β of these; the default is 0.02 · 1000/T.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_end: Option<f64>,
    /// What the schedule's signal-to-noise ratios are multiplied by ([`NoiseSchedule::with_snr_scale`]); the default
    /// is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snr_scale: Option<f64>,
    /// Whether the schedule is rescaled so that x_{T-1} is pure noise (Lin et al. 2023).
    pub zero_terminal_snr: bool,
    /// "epsilon", "v" or "x0".
    pub prediction: Prediction,
}

impl Diffusion {
    /// The ᾱ table. Errors: betas out of their range; a prediction that says nothing about x_0 at the last
    /// timestep.
    pub fn noise_schedule(&self) -> Result<NoiseSchedule, TrainError> {
        let schedule = match self.scaled_betas()? {
            Some(betas) => NoiseSchedule::new(&betas, self.timesteps)?,
            None => self.unscaled()?,
        };
        let schedule = if self.zero_terminal_snr { schedule.with_zero_terminal_snr() } else { schedule };
        self.prediction.check(&schedule)?;
        Ok(schedule)
    }

    fn unscaled(&self) -> Result<NoiseSchedule, TrainError> {
        Ok(match self.beta_range()? {
            Some((start, end)) => NoiseSchedule::with_beta_range(&self.schedule, self.timesteps, start, end)?,
            None => NoiseSchedule::new(&self.schedule, self.timesteps)?,
        })
    }

    /// The betas of the schedule with scaled signal-to-noise ratios, if they are scaled. Errors: as
    /// [`Diffusion::noise_schedule`].
    pub fn scaled_betas(&self) -> Result<Option<BetaSchedule>, TrainError> {
        let Some(scale) = self.snr_scale else { return Ok(None) };
        Ok(Some(BetaSchedule::Betas(self.unscaled()?.with_snr_scale(scale)?.betas())))
    }

    /// The first and last β, if at least one of them is given. Errors: a schedule that has no range of
    /// betas.
    pub fn beta_range(&self) -> Result<Option<(f64, f64)>, TrainError> {
        if self.beta_start.is_none() && self.beta_end.is_none() {
            return Ok(None);
        }
        match self.schedule {
            BetaSchedule::Linear | BetaSchedule::ScaledLinear => {
                let (start, end) = beta_range(self.timesteps);
                Ok(Some((self.beta_start.unwrap_or(start), self.beta_end.unwrap_or(end))))
            }
            _ => Err(TrainError::Option(format!(
                "beta_start and beta_end: only the schedules \"linear\" and \"scaled_linear\" have them, not \"{}\"",
                self.schedule
            ))),
        }
    }

    /// A warning if the prediction says next to nothing about x_0 at the last timestep. Errors: as
    /// [`Diffusion::noise_schedule`].
    pub fn warning(&self) -> Result<Option<String>, TrainError> {
        Ok(self.prediction.check(&self.noise_schedule()?)?)
    }
}

/// How the network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// The seed of every draw: initial values, data order, noise, timesteps, label dropout.
    pub seed: u64,
    /// The number of optimiser steps of the whole run. The learning rate follows its schedule over them.
    pub steps: u64,
    /// The number of images in one pass through the network.
    pub batch: usize,
    /// The number of passes whose gradients are added for one step.
    pub accumulate: usize,
    /// "muon" (for the hidden matrices) or "adamw" (for all parameters). Checkpoints of older versions lack
    /// it and mean "adamw".
    #[serde(default = "adamw")]
    pub optimizer: Optimizer,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The share of the steps in which the learning rate rises linearly, 0 to 1.
    pub warmup: f64,
    /// The learning rate at the end as a share of the peak, 0 to 1.
    pub final_learning_rate: f64,
    /// Decoupled weight decay; none on norms, biases and the embeddings of class and augmentation.
    pub weight_decay: f64,
    /// Decay of Adam's first and second moment.
    pub betas: [f64; 2],
    /// Largest global norm of the gradient.
    pub clip: f64,
    /// Probability that an image's label is replaced by the null label.
    pub label_dropout: f64,
    /// "uniform", "late" or "late:LAMBDA", "noise", "log_normal" or "log_normal:MEAN:DEVIATION", "min_snr" or "p2".
    pub loss_weighting: LossWeighting,
    /// "uniform", or "weighted" (timesteps are drawn in proportion to their weights). Files of older
    /// versions lack it and mean "uniform".
    #[serde(default)]
    pub timestep_sampling: TimestepSampling,
    /// The decay of the moving average of the weights, below 1. A warm-up limits it: after s steps it is at
    /// most (1 + s)/(10 + s). It thus reaches 0.999 at step 8,990, and a shorter run averages over about
    /// its last tenth ([`duet_optim::ema_reached`]).
    pub ema_decay: f64,
    /// The number of steps between snapshots of two further averages. Any other average can be made from
    /// these after the training. 0 means no snapshots. Files of older versions lack it and mean 0.
    #[serde(default)]
    pub ema_snapshots: u64,
    /// Whether classes are drawn alike, however many images each has ([`DataOrder::balanced`]). Written only
    /// where it is set, as are the next three; files of older versions lack them.
    ///
    /// [`DataOrder::balanced`]: crate::DataOrder::balanced
    #[serde(default, skip_serializing_if = "is_off")]
    pub balance: bool,
    /// "off", "horizontal" or "both": whether images are mirrored at random, and how.
    #[serde(default, skip_serializing_if = "is_off")]
    pub flip: Flip,
    /// The probability of each transformation of non-leaky augmentation ([`Augmentation`]), 0 to 1; 0 is none.
    ///
    /// [`Augmentation`]: crate::Augmentation
    #[serde(default, skip_serializing_if = "is_off")]
    pub augment: f64,
    /// Parameters that training does not change: names, what names begin with up to a dot, or either with `*` for
    /// any characters, such as `down_blocks` or `*.norm1.*`.
    #[serde(default, skip_serializing_if = "is_off")]
    pub freeze: Vec<String>,
}

fn is_off<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn adamw() -> Optimizer {
    Optimizer::AdamW
}

/// The largest number of steps. A larger one is a mistake in typing.
const MAX_STEPS: u64 = 1_000_000_000_000;
const MAX_BATCH: usize = 1 << 16;

impl TrainOptions {
    /// The number of snapshots that the training leaves: one every `ema_snapshots` steps, and one at the
    /// last step.
    pub fn snapshots(&self) -> u64 {
        if self.ema_snapshots == 0 { 0 } else { self.steps.div_ceil(self.ema_snapshots) }
    }

    /// Checks every range. Errors: a value out of its range; the error names the option, its value and its
    /// range.
    pub fn validate(&self) -> Result<(), TrainError> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let fraction = |v: f64| (0.0..1.0).contains(&v);
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let checks = [
            ("steps", self.steps as f64, (1..=MAX_STEPS).contains(&self.steps), "1 to 10^12"),
            ("batch", self.batch as f64, (1..=MAX_BATCH).contains(&self.batch), "1 to 65536"),
            ("accumulate", self.accumulate as f64, (1..=MAX_BATCH).contains(&self.accumulate), "1 to 65536"),
            ("learning_rate", self.learning_rate, positive(self.learning_rate), "a positive number"),
            ("warmup", self.warmup, share(self.warmup), "0 to 1"),
            ("final_learning_rate", self.final_learning_rate, share(self.final_learning_rate), "0 to 1"),
            (
                "weight_decay",
                self.weight_decay,
                self.weight_decay == 0.0 || positive(self.weight_decay),
                "0 or more",
            ),
            ("betas[0]", self.betas[0], fraction(self.betas[0]), "at least 0 and below 1"),
            ("betas[1]", self.betas[1], fraction(self.betas[1]), "at least 0 and below 1"),
            ("clip", self.clip, positive(self.clip), "a positive number"),
            ("label_dropout", self.label_dropout, share(self.label_dropout), "0 to 1"),
            ("ema_decay", self.ema_decay, fraction(self.ema_decay), "at least 0 and below 1"),
            ("augment", self.augment, share(self.augment), "0 to 1"),
        ];
        match checks.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((name, value, _, range)) => {
                Err(TrainError::Option(format!("{name} = {value}: must be {range}")))
            }
            None => self.loss_weighting.checked().map(drop).map_err(TrainError::Option),
        }
    }
}
