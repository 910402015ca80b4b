//! Weights of the denoising loss over the timesteps.

use duet_schedule::{NoiseSchedule, Prediction};
use std::fmt;
use std::str::FromStr;

/// How much each timestep counts. Each rule states its ranges and its source. SNR = ᾱ / (1 - ᾱ).
///
/// The weights of the SNR rules are defined for the loss on one kind of prediction. They are converted to
/// the others by ‖ε - ε̂‖² = SNR · ‖x_0 - x̂_0‖² and ‖v - v̂‖² = (SNR + 1) · ‖x_0 - x̂_0‖².
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossWeighting {
    /// The same weight for every timestep (Ho et al. 2020).
    Uniform,
    /// ∝ 1 + λ(1 - t/(T-1)): more weight on the later denoising steps, small t.
    Late {
        /// λ, 0 to 1000; the default is 1. Timestep 0 weighs 1 + λ times as much as T-1.
        lambda: f64,
    },
    /// ∝ 1 - ᾱ, the share of noise in x_t. It puts more weight on the first denoising steps, which decide
    /// what an image shows. For v-prediction this is the plain loss on x_0.
    Noise,
    /// ∝ the density of a normal distribution of ln σ. It favours the noise levels that decide an image's
    /// shape. With v-prediction and drawn timesteps, this is the training of Karras et al. 2022 (table 1)
    /// for σ_data = 1. They use a mean of -1.2 and a deviation of 1.2 for photographs.
    LogNormal {
        /// The mean of ln σ, -20 to 20; the default is 0.6.
        mean: f64,
        /// The standard deviation of ln σ, 0.05 to 20; the default is 0.8.
        deviation: f64,
    },
    /// min(SNR, γ) for the loss on x_0, with γ = 5 (Hang et al. 2023, equation 8).
    MinSnr,
    /// 1 / (k + SNR)^γ for the loss on ε, with k = γ = 1 (Choi et al. 2022, equation 8).
    P2,
}

const LATE: LossWeighting = LossWeighting::Late { lambda: 1.0 };
/// With a larger λ, the last timesteps weigh next to nothing, and a further increase has no effect.
const MAX_LATE_LAMBDA: f64 = 1000.0;
const MIN_SNR_GAMMA: f64 = 5.0;
const LOG_NORMAL: LossWeighting = LossWeighting::LogNormal { mean: 0.6, deviation: 0.8 };

const NAMES: [(&str, LossWeighting); 6] = [
    ("uniform", LossWeighting::Uniform),
    ("late", LATE),
    ("noise", LossWeighting::Noise),
    ("log_normal", LOG_NORMAL),
    ("min_snr", LossWeighting::MinSnr),
    ("p2", LossWeighting::P2),
];

impl LossWeighting {
    /// This rule unchanged, if its numbers are in their ranges.
    ///
    /// # Errors
    /// A number out of its range; the message names the range.
    pub fn checked(self) -> Result<Self, String> {
        match self {
            Self::Late { lambda } if !(0.0..=MAX_LATE_LAMBDA).contains(&lambda) => {
                Err(format!("loss weighting \"{self}\": late:LAMBDA, LAMBDA 0 to {MAX_LATE_LAMBDA}"))
            }
            Self::LogNormal { mean, deviation }
                if !(-20.0..=20.0).contains(&mean) || !(0.05..=20.0).contains(&deviation) =>
            {
                Err(format!(
                    "loss weighting \"{self}\": log_normal:MEAN:DEVIATION of ln σ, the first -20 to 20, the second 0.05 to 20"
                ))
            }
            // Removes the sign of -0, which would give another text.
            Self::Late { lambda } => Ok(Self::Late { lambda: lambda.abs() }),
            rule => Ok(rule),
        }
    }
}

impl FromStr for LossWeighting {
    type Err = String;

    /// Reads a name, `late:LAMBDA` or `log_normal:MEAN:DEVIATION`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(lambda) = text.strip_prefix("late:") {
            return late_of(lambda).ok_or_else(|| {
                format!("loss weighting \"{text}\": late:LAMBDA, LAMBDA 0 to {MAX_LATE_LAMBDA}")
            });
        }
        if let Some(numbers) = text.strip_prefix("log_normal:") {
            return log_normal_of(numbers).ok_or_else(|| {
                format!(
                    "loss weighting \"{text}\": log_normal:MEAN:DEVIATION of ln σ, the first -20 to 20, the second 0.05 to 20"
                )
            });
        }
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, rule)| *rule).ok_or_else(|| {
            format!("loss weighting \"{text}\": use one of {}", NAMES.map(|(name, _)| name).join(", "))
        })
    }
}

fn late_of(lambda: &str) -> Option<LossWeighting> {
    LossWeighting::Late { lambda: lambda.parse().ok()? }.checked().ok()
}

fn log_normal_of(numbers: &str) -> Option<LossWeighting> {
    let (mean, deviation) = numbers.split_once(':')?;
    LossWeighting::LogNormal { mean: mean.parse().ok()?, deviation: deviation.parse().ok()? }.checked().ok()
}

duet_schedule::serde_as_text!(LossWeighting);

impl fmt::Display for LossWeighting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (NAMES.iter().find(|(_, rule)| rule == self), self) {
            (None, Self::Late { lambda }) => write!(f, "late:{lambda}"),
            (None, Self::LogNormal { mean, deviation }) => write!(f, "log_normal:{mean}:{deviation}"),
            (named, _) => f.write_str(named.map_or("", |(name, _)| name)),
        }
    }
}

/// weight(t) for each of the T timesteps, for the loss on `prediction`. The mean of the weights is 1.
///
/// If the last timestep has SNR 0, an SNR rule gives it weight 0 with v and x_0, and the limit of its
/// formula with ε.
pub fn loss_weights(rule: LossWeighting, prediction: Prediction, schedule: &NoiseSchedule) -> Vec<f64> {
    let last = (schedule.len() - 1).max(1) as f64;
    let snr = |t: usize| schedule.snr(t);
    // The factor that converts a weight of the loss on ε. It is finite at SNR 0; the factor from x_0 is
    // not.
    let from_epsilon = |t: usize| match prediction {
        Prediction::Epsilon => 1.0,
        Prediction::V => snr(t) / (snr(t) + 1.0),
        Prediction::X0 => snr(t),
    };
    let each = |weight: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..schedule.len()).map(weight).collect() };
    let weights = match rule {
        LossWeighting::Uniform => each(&|_| 1.0),
        LossWeighting::Late { lambda } => each(&|t| 1.0 + lambda * (1.0 - t as f64 / last)),
        LossWeighting::Noise => each(&|t| 1.0 - schedule.alpha_bar(t)),
        LossWeighting::LogNormal { mean, deviation } => log_normal(mean, deviation, schedule),
        LossWeighting::MinSnr => each(&|t| (MIN_SNR_GAMMA / snr(t)).min(1.0) * from_epsilon(t)),
        LossWeighting::P2 => each(&|t| 1.0 / (1.0 + snr(t)) * from_epsilon(t)),
    };
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.into_iter().map(|w| w / mean).collect()
}

/// The share of a normal distribution of ln σ that each timestep covers, up to a common factor; 0 at pure
/// noise.
fn log_normal(mean: f64, deviation: f64, schedule: &NoiseSchedule) -> Vec<f64> {
    let log_sigma = |t: usize| -0.5 * schedule.snr(t).ln();
    let log_share = |t: usize| {
        let x = log_sigma(t);
        if x.is_infinite() {
            return f64::NEG_INFINITY;
        }
        // The distance of ln σ to the neighbouring timestep. A single timestep, or one beside pure noise,
        // has none.
        let neighbour = if t == 0 { 1 } else { t - 1 };
        let width = if neighbour < schedule.len() { (x - log_sigma(neighbour)).abs() } else { 1.0 };
        let width = if width.is_finite() { width } else { 1.0 };
        -0.5 * ((x - mean) / deviation).powi(2) + width.ln()
    };
    let logs: Vec<f64> = (0..schedule.len()).map(log_share).collect();
    // Divide by the largest share: if the mean lies far outside all timesteps, the shares themselves
    // underflow.
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logs.into_iter().map(|log| (log - largest).exp()).collect()
}
