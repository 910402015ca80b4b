//! Euler's rule in σ (Karras et al. 2022, algorithm 1 without churn).
//!
//! In x̄ = x/√ᾱ and σ = √((1-ᾱ)/ᾱ), the probability flow is dx̄/dσ = ε̂, and a step is
//! x̄' = x̄ + (σ' - σ) ε̂. Since x̄ = x̂_0 + σ ε̂, this is x̄' = x̂_0 + σ' ε̂, and in x, where nothing is
//! infinite at ᾱ = 0 or 1, x' = √ᾱ' x̂_0 + √(1-ᾱ') ε̂: DDIM with η = 0.

use std::fmt;

use crate::error::ScheduleError;
use crate::solver::method::Method;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// Euler's rule in σ = √((1-ᾱ)/ᾱ) (Karras et al. 2022, algorithm 1 without churn). It equals DDIM with η =
/// 0.
///
/// As text: `euler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Euler;

impl Method for Euler {
    fn names() -> &'static [&'static str] {
        &["euler"]
    }

    fn read(text: &str) -> Option<Self> {
        (text == "euler").then_some(Self)
    }

    fn name(&self) -> &'static str {
        "euler"
    }

    /// The updates between rising ᾱ.
    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        let updates = steps.alpha_bars()[1..].iter().map(|&next| update(next)).collect();
        UpdateTable::new(steps, updates)
    }
}

impl fmt::Display for Euler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("euler")
    }
}

/// The step to ᾱ'.
pub(crate) fn update(next: f64) -> Update {
    Update { x0: vec![next.sqrt()], epsilon: vec![(1.0 - next).sqrt()], ..Update::default() }
}
