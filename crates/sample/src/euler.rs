//! Euler's rule in σ (Karras et al. 2022, algorithm 1 without churn).
//!
//! In x̄ = x/√ᾱ and σ = √((1-ᾱ)/ᾱ), the probability flow is dx̄/dσ = ε̂, and a step is
//! x̄' = x̄ + (σ' - σ) ε̂. Since x̄ = x̂_0 + σ ε̂, this is x̄' = x̂_0 + σ' ε̂, and in x, where nothing is
//! infinite at ᾱ = 0 or 1, x' = √ᾱ' x̂_0 + √(1-ᾱ') ε̂: DDIM with η = 0.

use crate::sampler::Update;

/// The steps between rising ᾱ.
pub(crate) fn updates(alpha_bars: &[f64]) -> Vec<Update> {
    alpha_bars[1..].iter().map(|&next| update(next)).collect()
}

/// The step to ᾱ'.
pub(crate) fn update(next: f64) -> Update {
    Update { x0: vec![next.sqrt()], epsilon: vec![(1.0 - next).sqrt()], ..Update::default() }
}
