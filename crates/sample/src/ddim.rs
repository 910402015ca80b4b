//! Denoising diffusion implicit models (Song et al. 2021).

use crate::SampleError;
use candle_core::Tensor;
use duet_schedule::{NoiseSchedule, Prediction};

/// What a prediction at (x_t, t) says about the image and the noise: x_t = √ᾱ_t x̂_0 + √(1-ᾱ_t) ε̂.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// x̂_0, shape of x_t.
    pub x0: Tensor,
    /// ε̂, shape of x_t.
    pub epsilon: Tensor,
}

impl Estimate {
    /// From a network's prediction. With `clip`, x̂_0 is clamped to ±clip and ε̂ derived again from
    /// the clamped x̂_0, so that the pair still explains x_t.
    pub fn new(
        x: &Tensor,
        prediction: &Tensor,
        kind: Prediction,
        alpha_bar: f64,
        clip: Option<f64>,
    ) -> Result<Self, SampleError> {
        let mix = |(of_x, of_p): (f64, f64)| (x * of_x)? + (prediction * of_p)?;
        let x0 = mix(kind.x0_coefficients(alpha_bar))?;
        let Some(limit) = clip else {
            return Ok(Self { x0, epsilon: mix(kind.epsilon_coefficients(alpha_bar))? });
        };
        let x0 = x0.clamp(-limit, limit)?;
        // ε̂ = (x_t - √ᾱ x̂_0) / √(1-ᾱ)
        let epsilon = ((x - (&x0 * alpha_bar.sqrt())?)? / (1.0 - alpha_bar).sqrt())?;
        Ok(Self { x0, epsilon })
    }
}

/// The DDIM sampler over a falling list of timesteps.
///
/// Each step goes from t to the next t of the list, and to ᾱ = 1 after the last.
#[derive(Debug, Clone)]
pub struct Ddim {
    timesteps: Vec<usize>,
    /// ᾱ at each timestep, and 1 at the end.
    alpha_bars: Vec<f64>,
    prediction: Prediction,
    eta: f64,
    clip: Option<f64>,
}

impl Ddim {
    /// A deterministic sampler (η = 0) without clipping. `timesteps` fall strictly, each below T.
    pub fn new(
        schedule: &NoiseSchedule,
        timesteps: &[usize],
        prediction: Prediction,
    ) -> Result<Self, SampleError> {
        let falls = timesteps.windows(2).all(|pair| pair[0] > pair[1]);
        let fits = timesteps.first().is_some_and(|&t| t < schedule.len());
        if !falls || !fits {
            let range = format!("must fall strictly from at most {}", schedule.len() - 1);
            return Err(SampleError::Setting(format!(
                "timesteps {timesteps:?}: {range}, at least one of them"
            )));
        }
        prediction.check(schedule)?;
        let alpha_bars = timesteps.iter().map(|&t| schedule.alpha_bar(t)).chain([1.0]).collect();
        Ok(Self { timesteps: timesteps.to_vec(), alpha_bars, prediction, eta: 0.0, clip: None })
    }

    /// η from 0 (deterministic) to 1 (the variance of DDPM's posterior).
    pub fn with_eta(self, eta: f64) -> Result<Self, SampleError> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(SampleError::Setting(format!("eta {eta}: must be 0 to 1")));
        }
        Ok(Self { eta, ..self })
    }

    /// Clamps x̂_0 to ±limit at every step.
    pub fn with_clip(self, limit: Option<f64>) -> Self {
        Self { clip: limit, ..self }
    }

    /// The timesteps, falling.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// The standard deviation of the noise that step `i` adds (Song et al. 2021, equation 16).
    pub fn sigma(&self, i: usize) -> f64 {
        let (alpha_bar, next) = (self.alpha_bars[i], self.alpha_bars[i + 1]);
        self.eta * ((1.0 - next) / (1.0 - alpha_bar) * (1.0 - alpha_bar / next)).sqrt()
    }

    /// What the prediction at step `i` says about image and noise.
    pub fn estimate(&self, i: usize, x: &Tensor, prediction: &Tensor) -> Result<Estimate, SampleError> {
        Estimate::new(x, prediction, self.prediction, self.alpha_bars[i], self.clip)
    }

    /// x at the next timestep from the estimate at step `i` (Song et al. 2021, equation 12).
    ///
    /// `noise` has the estimate's shape and is needed where [`Ddim::sigma`] is not 0.
    pub fn step(&self, i: usize, estimate: &Estimate, noise: Option<&Tensor>) -> Result<Tensor, SampleError> {
        let next = self.alpha_bars[i + 1];
        let sigma = self.sigma(i);
        // x' = √ᾱ' x̂_0 + √(1-ᾱ'-σ²) ε̂ + σz
        let towards_noise = (1.0 - next - sigma * sigma).max(0.0).sqrt();
        let x = ((&estimate.x0 * next.sqrt())? + (&estimate.epsilon * towards_noise)?)?;
        match noise {
            _ if sigma == 0.0 => Ok(x),
            Some(noise) => Ok((x + (noise * sigma)?)?),
            None => Err(SampleError::Setting(format!("step {i} with eta {} needs noise", self.eta))),
        }
    }
}
