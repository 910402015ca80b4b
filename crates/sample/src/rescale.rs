//! Rescaled guidance (Lin et al. 2023, section 3.4).

use crate::SampleError;
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

/// Of each image's values, unbiased as torch's, (n, 1, ...).
fn deviation(x: &Tensor) -> Result<Tensor, SampleError> {
    let mut shape = vec![1; x.rank()];
    shape[0] = x.dim(0)?;
    Ok(x.flatten_from(1)?.var_keepdim(1)?.sqrt()?.reshape(shape)?)
}
