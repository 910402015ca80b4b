//! The estimates of image and noise that follow from a network's prediction.

use crate::error::SampleError;
use crate::per_image::column;
use candle_core::Tensor;
use duet_schedule::{Clip, Prediction};

/// The estimates from a prediction at (x_t, t): x_t = √ᾱ_t x̂_0 + √(1-ᾱ_t) ε̂.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// x̂_0, shape of x_t.
    pub x0: Tensor,
    /// ε̂, shape of x_t.
    pub epsilon: Tensor,
}

impl Estimate {
    /// Computes both from a network's prediction. If x̂_0 is clipped, ε̂ is derived again from the clipped
    /// x̂_0, so that the equation above still holds.
    /// Errors: a clip whose numbers are out of their range.
    pub fn new(
        x: &Tensor,
        prediction: &Tensor,
        kind: Prediction,
        alpha_bar: f64,
        clip: Clip,
    ) -> Result<Self, SampleError> {
        let clip = clip.checked()?;
        let mix = |(of_x, of_p): (f64, f64)| (x * of_x)? + (prediction * of_p)?;
        let x0 = mix(kind.x0_coefficients(alpha_bar))?;
        match clip {
            Clip::No => Ok(Self { x0, epsilon: mix(kind.epsilon_coefficients(alpha_bar))? }),
            Clip::Static { .. } | Clip::Dynamic { .. } => Self::of_x0(x, x0, alpha_bar, clip),
        }
    }

    /// Computes both from an image: clips it, and derives ε̂ from what remains of x_t.
    pub(crate) fn of_x0(x: &Tensor, x0: Tensor, alpha_bar: f64, clip: Clip) -> Result<Self, SampleError> {
        let x0 = match clip {
            Clip::No => x0,
            Clip::Static { limit } => x0.clamp(-limit, limit)?,
            Clip::Dynamic { ratio, max } => threshold(&x0, ratio, max)?,
        };
        // ε̂ = (x_t - √ᾱ x̂_0) / √(1-ᾱ)
        let epsilon = ((x - (&x0 * alpha_bar.sqrt())?)? / (1.0 - alpha_bar).sqrt())?;
        Ok(Self { x0, epsilon })
    }
}

/// Dynamic thresholding (Saharia et al. 2022, section 2.3) of images (n, ...).
fn threshold(x0: &Tensor, ratio: f64, max: f64) -> Result<Tensor, SampleError> {
    let images = x0.flatten_from(1)?.to_vec2::<f32>()?;
    let scales: Vec<f64> = images.into_iter().map(|image| scale(image, ratio, max)).collect();
    let scales = column(&scales, x0)?;
    Ok(x0.broadcast_minimum(&scales)?.broadcast_maximum(&scales.neg()?)?.broadcast_div(&scales)?)
}

/// The quantile of the magnitudes, interpolated linearly, then limited to [1, max].
fn scale(mut values: Vec<f32>, ratio: f64, max: f64) -> f64 {
    if values.is_empty() {
        return 1.0;
    }
    values.iter_mut().for_each(|value| *value = value.abs());
    values.sort_unstable_by(f32::total_cmp);
    let place = ratio * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    let quantile = f64::from(low) + f64::from(high - low) * place.fract();
    quantile.max(1.0).min(max)
}
