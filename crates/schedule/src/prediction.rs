//! What a network predicts, and how x_0 and ε follow from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ScheduleError;
use crate::noise::NoiseSchedule;

/// [`Prediction::check`] warns of ε-prediction if the last ᾱ is smaller than this.
///
/// x̂_0 = (x - √(1-ᾱ) ε̂)/√ᾱ multiplies an error of ε̂ by σ = √((1-ᾱ)/ᾱ). ε-prediction is known to work
/// with Ho et al.'s linear schedule, which ends at ᾱ = 4e-5 (σ = 157). sigmoid ends at 3e-7 (σ = 1800) and
/// cosine at 2.4e-9 (σ = 20 000): there the smallest error hides the image. The limit lies between, at σ =
/// 316.
pub const EPSILON_MIN_ALPHA_BAR: f64 = 1e-5;

/// [`Prediction::check`] warns if the last ᾱ is larger than this: sampling then begins with more noise than
/// the network ever saw. At the limit, a tenth of the image (√ᾱ) is left in x_{T-1}. Stable Diffusion's
/// betas end at ᾱ = 0.0047.
pub const MAX_LAST_ALPHA_BAR: f64 = 0.01;

/// What a network predicts from x_t = √ᾱ x_0 + √(1-ᾱ) ε.
///
/// As text: `epsilon`, `v` or `x0`. diffusers' words `v_prediction` and `sample` are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise ε (Ho et al. 2020).
    Epsilon,
    /// v = √ᾱ ε - √(1-ᾱ) x_0 (Salimans & Ho 2022, section 4). x_0 follows from it at every ᾱ.
    #[serde(alias = "v_prediction")]
    V,
    /// The clean image x_0.
    #[serde(alias = "sample")]
    X0,
}

impl Prediction {
    /// (a, b) in x_0 = a·x + b·p, where p is the prediction, for ᾱ in [0, 1].
    ///
    /// For ε both are infinite at ᾱ = 0, because ε then says nothing about x_0: see [`Prediction::check`].
    pub fn x0_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = roots(alpha_bar);
        match self {
            // x_0 = (x - √(1-ᾱ) ε)/√ᾱ
            Self::Epsilon => (1.0 / signal, -noise / signal),
            // x_0 = √ᾱ x - √(1-ᾱ) v
            Self::V => (signal, -noise),
            Self::X0 => (0.0, 1.0),
        }
    }

    /// (c, d) in ε = c·x + d·p, where p is the prediction, for ᾱ in [0, 1].
    ///
    /// For x_0 both are infinite at ᾱ = 1; no timestep of a schedule has this ᾱ.
    pub fn epsilon_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = roots(alpha_bar);
        match self {
            Self::Epsilon => (0.0, 1.0),
            // ε = √(1-ᾱ) x + √ᾱ v
            Self::V => (noise, signal),
            // ε = (x - √ᾱ x_0)/√(1-ᾱ)
            Self::X0 => (1.0 / noise, -signal / noise),
        }
    }

    /// (a, b) in target = a·x_0 + b·ε, which the network is trained to predict, for ᾱ in [0, 1].
    pub fn target_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = roots(alpha_bar);
        match self {
            Self::Epsilon => (0.0, 1.0),
            Self::V => (-noise, signal),
            Self::X0 => (1.0, 0.0),
        }
    }

    /// (e, f) in p = e·x + f·x_0, the prediction at x that means x_0, for ᾱ in [0, 1).
    pub fn of_x0_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = roots(alpha_bar);
        match self {
            // ε = (x - √ᾱ x_0)/√(1-ᾱ)
            Self::Epsilon => (1.0 / noise, -signal / noise),
            // v = √ᾱ ε - √(1-ᾱ) x_0 = (√ᾱ x - x_0)/√(1-ᾱ)
            Self::V => (signal / noise, -1.0 / noise),
            Self::X0 => (0.0, 1.0),
        }
    }

    /// (g, h) in v = g·x + h·p, where p is the prediction, for ᾱ in [0, 1). For ε both are infinite at ᾱ =
    /// 0.
    pub fn v_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = roots(alpha_bar);
        match self {
            // v = √ᾱ ε - √(1-ᾱ) x_0 = (ε - √(1-ᾱ) x)/√ᾱ
            Self::Epsilon => (-noise / signal, 1.0 / signal),
            Self::V => (0.0, 1.0),
            // v = (√ᾱ x - x_0)/√(1-ᾱ)
            Self::X0 => (signal / noise, -1.0 / noise),
        }
    }

    /// (i, j) in p = i·x + j·v, the prediction at x that means v, for ᾱ in [0, 1].
    pub fn of_v_coefficients(self, alpha_bar: f64) -> (f64, f64) {
        match self {
            Self::Epsilon => Self::V.epsilon_coefficients(alpha_bar),
            Self::V => (0.0, 1.0),
            Self::X0 => Self::V.x0_coefficients(alpha_bar),
        }
    }

    /// Whether sampling can begin at the last timestep of `schedule`. There x must be nearly pure noise,
    /// and x_0 must follow from this prediction.
    ///
    /// Returns a warning for a person if the last ᾱ is below [`EPSILON_MIN_ALPHA_BAR`] with ε, or above
    /// [`MAX_LAST_ALPHA_BAR`] with any prediction.
    /// Errors: ε with a last ᾱ of exactly 0 (zero terminal SNR).
    pub fn check(self, schedule: &NoiseSchedule) -> Result<Option<String>, ScheduleError> {
        let last = schedule.len() - 1;
        let (alpha_bar, sigma) = (schedule.alpha_bar(last), schedule.sigma(last));
        match self {
            _ if alpha_bar > MAX_LAST_ALPHA_BAR => Ok(Some(format!(
                "sampling begins with pure noise, which training never shows: at t = {last} alpha_bar is still \
                 {alpha_bar:.2}; larger betas end below {MAX_LAST_ALPHA_BAR}, and so do cosine and sigmoid"
            ))),
            Self::V | Self::X0 => Ok(None),
            Self::Epsilon if schedule.has_zero_terminal_snr() => Err(ScheduleError::EpsilonAtZeroSnr),
            Self::Epsilon if alpha_bar < EPSILON_MIN_ALPHA_BAR => Ok(Some(format!(
                "epsilon-prediction says next to nothing about x_0 at t = {last}, where alpha_bar is {alpha_bar:.1e}: \
                 an error of epsilon counts {sigma:.0} times there; v and x0 have no such trouble"
            ))),
            Self::Epsilon => Ok(None),
        }
    }

    /// The name in diffusers' `prediction_type`: `epsilon`, `v_prediction` or `sample`.
    pub fn diffusers_name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::V => "v_prediction",
            Self::X0 => "sample",
        }
    }
}

/// (√ᾱ, √(1-ᾱ))
fn roots(alpha_bar: f64) -> (f64, f64) {
    (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epsilon => "epsilon",
            Self::V => "v",
            Self::X0 => "x0",
        })
    }
}

impl FromStr for Prediction {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        match name {
            "epsilon" => Ok(Self::Epsilon),
            "v" | "v_prediction" => Ok(Self::V),
            "x0" | "sample" => Ok(Self::X0),
            _ => Err(ScheduleError::UnknownName {
                what: "prediction",
                name: name.into(),
                expected: "epsilon, v or x0",
            }),
        }
    }
}
