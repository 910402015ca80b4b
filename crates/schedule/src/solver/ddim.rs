//! Denoising diffusion implicit models (Song et al. 2021).

use std::fmt;

use crate::error::ScheduleError;
use crate::solver::method::Method;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// Denoising diffusion implicit models (Song et al. 2021).
///
/// As text: `ddim`, or `ddim:ETA`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ddim {
    /// η from 0 (deterministic) to 1 (as much noise as DDPM).
    pub eta: f64,
}

impl Method for Ddim {
    fn names() -> &'static [&'static str] {
        &["ddim"]
    }

    fn read(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "ddim").then_some(Self { eta: 0.0 }),
            Some(("ddim", eta)) => Some(Self { eta: eta.parse().ok()? }),
            Some(_) => None,
        }
    }

    fn name(&self) -> &'static str {
        "ddim"
    }

    fn check(&self) -> Result<(), ScheduleError> {
        match (0.0..=1.0).contains(&self.eta) {
            true => Ok(()),
            false => Err(ScheduleError::Eta(self.eta)),
        }
    }

    /// The updates between rising ᾱ; η from 0 (deterministic) to 1 (the variance of DDPM's posterior).
    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        let updates = steps.alpha_bars().windows(2).map(|pair| update(pair[0], pair[1], self.eta)).collect();
        UpdateTable::new(steps, updates)
    }
}

impl fmt::Display for Ddim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.eta {
            0.0 => f.write_str("ddim"),
            eta => write!(f, "ddim:{eta}"),
        }
    }
}

/// Song et al. 2021, equations 12 and 16.
fn update(alpha_bar: f64, next: f64, eta: f64) -> Update {
    // Both may be 0.
    let beta = if next > alpha_bar { 1.0 - alpha_bar / next } else { 0.0 };
    // σ = η √((1-ᾱ')/(1-ᾱ)) √(1 - ᾱ/ᾱ')
    let sigma = eta * ((1.0 - next) / (1.0 - alpha_bar) * beta).sqrt();
    // x' = √ᾱ' x̂_0 + √(1-ᾱ'-σ²) ε̂ + σz
    let towards_noise = (1.0 - next - sigma * sigma).max(0.0).sqrt();
    Update { x: 0.0, x0: vec![next.sqrt()], epsilon: vec![towards_noise], noise: sigma }
}
