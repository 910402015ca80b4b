//! β schedules: the variance of the noise that each step of the forward process adds.

use std::f64::consts::FRAC_PI_2;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ScheduleError;
use crate::timesteps::MAX_TIMESTEPS;

/// The default first β of `linear` and `scaled_linear` for T = 1000 (Ho et al. 2020, section 4).
pub const BETA_START: f64 = 1e-4;

/// The default last β of `linear` and `scaled_linear` for T = 1000 (Ho et al. 2020, section 4).
pub const BETA_END: f64 = 0.02;

/// The largest β of a schedule that is given as ᾱ(u) or scaled to few timesteps. It keeps ᾱ above 0 (Nichol
/// & Dhariwal 2021, section 3.2).
const MAX_BETA: f64 = 0.999;

/// The default first and last β for T timesteps: [`BETA_START`] and [`BETA_END`] times 1000/T, at most
/// 0.999.
///
/// ln ᾱ_{T-1} is about -Σβ. The factor makes this sum the same for every T (Dhariwal & Nichol 2021 scale it
/// in this way). Without the factor, `scaled_linear` with T = 100 would end at ᾱ = 0.48, but sampling
/// begins with pure noise.
pub fn beta_range(timesteps: usize) -> (f64, f64) {
    let scale = 1000.0 / timesteps.max(1) as f64;
    ((BETA_START * scale).min(MAX_BETA), (BETA_END * scale).min(MAX_BETA))
}

/// A rule for β_t, t in 0..T-1, with ᾱ_t = Π_{s≤t} (1-β_s).
///
/// As text: `linear`, `scaled_linear`, `cosine`, `sigmoid`, or `betas:` with a list, such as
/// `betas:0.1,0.2,0.4`. Serde uses the same names, and `{"betas": [0.1, 0.2, 0.4]}` for the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// β evenly spaced from `beta_start` to `beta_end` (Ho et al. 2020).
    Linear,
    /// √β evenly spaced from √`beta_start` to √`beta_end` (Rombach et al. 2022).
    ScaledLinear,
    /// ᾱ(u) = cos²((u + 0.008)/1.008·π/2) (Nichol & Dhariwal 2021, equation 17).
    Cosine,
    /// ᾱ(u) = (σ(3) - σ(6u - 3))/(σ(3) - σ(-3)), where σ is the logistic function: the sigmoid schedule of
    /// Jabri et al. 2022 and Chen 2023 (algorithm 1) with start -3, end 3, τ = 1. It differs from the
    /// "sigmoid" of diffusers' DDPM, whose β follow a logistic curve between two betas.
    Sigmoid,
    /// One β in (0, 1) for each t; the last may be 1.
    Betas(Vec<f64>),
}

impl BetaSchedule {
    /// The T values β_t.
    ///
    /// `linear` and `scaled_linear` run from `beta_start` to `beta_end`, both in (0, 1), for every T;
    /// [`beta_range`] gives a range that suits T. `cosine` and `sigmoid` are β_t = min(1 -
    /// ᾱ((t+1)/T)/ᾱ(t/T), 0.999). ᾱ_t is thus the curve at u = (t+1)/T, so that t = 0 already has noise.
    /// The curves end at ᾱ = 0, and the limit keeps the last ᾱ just above 0.
    /// Errors: T outside 1..=[`MAX_TIMESTEPS`], a β outside its range, a list of another length than T.
    pub fn betas(&self, timesteps: usize, beta_start: f64, beta_end: f64) -> Result<Vec<f64>, ScheduleError> {
        if !(1..=MAX_TIMESTEPS).contains(&timesteps) {
            return Err(ScheduleError::Timesteps(timesteps));
        }
        match self {
            Self::Linear => {
                check_range(beta_start, beta_end)?;
                Ok(evenly_spaced(beta_start, beta_end, timesteps).collect())
            }
            Self::ScaledLinear => {
                check_range(beta_start, beta_end)?;
                Ok(evenly_spaced(beta_start.sqrt(), beta_end.sqrt(), timesteps)
                    .map(|root| root * root)
                    .collect())
            }
            Self::Cosine => Ok(discretised(cosine, timesteps)),
            Self::Sigmoid => Ok(discretised(sigmoid, timesteps)),
            Self::Betas(betas) => {
                if betas.len() != timesteps {
                    return Err(ScheduleError::BetaCount { timesteps, betas: betas.len() });
                }
                for (t, &value) in betas.iter().enumerate() {
                    let last = t + 1 == timesteps;
                    if !(value > 0.0 && (value < 1.0 || last && value == 1.0)) {
                        let range = "within (0, 1), or 1 at the last timestep";
                        return Err(ScheduleError::OutOfRange { name: format!("beta[{t}]"), value, range });
                    }
                }
                Ok(betas.clone())
            }
        }
    }
}

fn check_range(beta_start: f64, beta_end: f64) -> Result<(), ScheduleError> {
    for (name, value) in [("beta_start", beta_start), ("beta_end", beta_end)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(ScheduleError::OutOfRange { name: name.into(), value, range: "within (0, 1)" });
        }
    }
    Ok(())
}

/// `count` values from `start` to `end`; `start` alone for a count of 1.
fn evenly_spaced(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
    (0..count).map(move |i| start + i as f64 * step)
}

/// β_t = min(1 - ᾱ((t+1)/T)/ᾱ(t/T), 0.999)
fn discretised(alpha_bar: fn(f64) -> f64, timesteps: usize) -> Vec<f64> {
    let at = |t: usize| alpha_bar(t as f64 / timesteps as f64);
    (0..timesteps).map(|t| (1.0 - at(t + 1) / at(t)).min(MAX_BETA)).collect()
}

fn cosine(u: f64) -> f64 {
    ((u + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
}

fn sigmoid(u: f64) -> f64 {
    const START: f64 = -3.0;
    const END: f64 = 3.0;
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    (logistic(END) - logistic(START + u * (END - START))) / (logistic(END) - logistic(START))
}

impl fmt::Display for BetaSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::ScaledLinear => f.write_str("scaled_linear"),
            Self::Cosine => f.write_str("cosine"),
            Self::Sigmoid => f.write_str("sigmoid"),
            Self::Betas(betas) => {
                write!(f, "betas:{}", betas.iter().map(f64::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl FromStr for BetaSchedule {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::UnknownName {
            what: "beta schedule",
            name: name.into(),
            expected: "linear, scaled_linear, cosine or sigmoid",
        };
        match name {
            "linear" => Ok(Self::Linear),
            "scaled_linear" => Ok(Self::ScaledLinear),
            "cosine" => Ok(Self::Cosine),
            "sigmoid" => Ok(Self::Sigmoid),
            _ => {
                let list = name.strip_prefix("betas:").ok_or_else(unknown)?;
                let betas: Result<Vec<f64>, _> = list.split(',').map(|beta| beta.trim().parse()).collect();
                let betas = Self::Betas(betas.map_err(|_| unknown())?);
                betas.betas(list.split(',').count(), BETA_START, BETA_END)?;
                Ok(betas)
            }
        }
    }
}
