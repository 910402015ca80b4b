//! Ancestral sampling (Ho et al. 2020).

use std::fmt;

use crate::error::ScheduleError;
use crate::solver::method::Method;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// Ancestral sampling from the posterior (Ho et al. 2020).
///
/// As text: `ddpm`, or `ddpm:large` with the large variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ddpm {
    /// The variance of each step's noise.
    pub variance: Variance,
}

/// The variance of a DDPM step (Ho et al. 2020, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// β̃ = (1-ᾱ')/(1-ᾱ)·β, which is exact if all data are one point.
    Small,
    /// β = 1 - ᾱ/ᾱ', which is exact for normal data.
    Large,
}

impl Method for Ddpm {
    fn names() -> &'static [&'static str] {
        &["ddpm"]
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "ddpm" => Some(Self { variance: Variance::Small }),
            "ddpm:large" => Some(Self { variance: Variance::Large }),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        "ddpm"
    }

    /// The updates between rising ᾱ. The last one adds no noise to the image.
    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        let step = |pair: &[f64]| update(pair[0], pair[1], self.variance);
        let updates = steps.alpha_bars().windows(2).map(step).collect();
        UpdateTable::new(steps, updates)
    }
}

impl fmt::Display for Ddpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.variance {
            Variance::Small => "ddpm",
            Variance::Large => "ddpm:large",
        })
    }
}

/// Ho et al. 2020, equation 7, from ᾱ to any larger ᾱ'.
fn update(alpha_bar: f64, next: f64, variance: Variance) -> Update {
    // Both may be 0.
    let alpha = if next > alpha_bar { alpha_bar / next } else { 1.0 };
    let beta = 1.0 - alpha;
    // μ̃ = √ᾱ' β/(1-ᾱ) x̂_0 + √α (1-ᾱ')/(1-ᾱ) x_t
    let x0 = next.sqrt() * beta / (1.0 - alpha_bar);
    let x = alpha.sqrt() * (1.0 - next) / (1.0 - alpha_bar);
    let variance = match variance {
        _ if next == 1.0 => 0.0,
        // β̃ = (1-ᾱ')/(1-ᾱ) β
        Variance::Small => (1.0 - next) / (1.0 - alpha_bar) * beta,
        Variance::Large => beta,
    };
    Update { x, x0: vec![x0], epsilon: vec![], noise: variance.sqrt() }
}
