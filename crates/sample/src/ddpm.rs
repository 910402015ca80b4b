//! Ancestral sampling (Ho et al. 2020).

use crate::sampler::Update;
use duet_schedule::Variance;

/// The steps between rising ᾱ; the last adds no noise to the image.
pub(crate) fn updates(alpha_bars: &[f64], variance: Variance) -> Vec<Update> {
    alpha_bars.windows(2).map(|pair| update(pair[0], pair[1], variance)).collect()
}

/// Ho et al. 2020, equation 7, from ᾱ to any later ᾱ'.
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
