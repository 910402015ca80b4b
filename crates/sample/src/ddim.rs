//! Denoising diffusion implicit models (Song et al. 2021).

use crate::{SampleError, sampler::Update};

/// The steps between rising ᾱ; η from 0 (deterministic) to 1 (the variance of DDPM's posterior).
pub(crate) fn updates(alpha_bars: &[f64], eta: f64) -> Result<Vec<Update>, SampleError> {
    if !(0.0..=1.0).contains(&eta) {
        return Err(SampleError::Setting(format!("eta {eta}: must be 0 to 1")));
    }
    Ok(alpha_bars.windows(2).map(|pair| update(pair[0], pair[1], eta)).collect())
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
