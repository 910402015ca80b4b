//! Rescaled guidance (Lin et al. 2023, section 3.4).

use crate::{SampleError, per_image::deviation};
use candle_core::Tensor;

/// φ · p̃ · std(p(c))/std(p̃) + (1 - φ) p̃, the deviations over each image.
///
/// Guidance adds to a prediction's deviation, which shows as images that are too bright.
pub(crate) fn rescaled(guided: &Tensor, given: &Tensor, phi: f64) -> Result<Tensor, SampleError> {
    if phi == 0.0 {
        return Ok(guided.clone());
    }
    let ratio = (deviation(given)? / deviation(guided)?)?;
    let factor = ((ratio * phi)? + (1.0 - phi))?;
    Ok(guided.broadcast_mul(&factor)?)
}
