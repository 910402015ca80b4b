//! Rescaled guidance (Lin et al. 2023, section 3.4).

use crate::{SampleError, per_image::deviation};
use candle_core::Tensor;

/// φ · p̃ · std(p(c))/std(p̃) + (1 - φ) p̃, the deviations over each image.
///
/// Guidance adds to a prediction's deviation, which shows as images that are too bright. Both are taken as
/// v, whatever the network predicts: the paper's networks predict v, and in much noise all ε have
/// deviation 1, so that of ε nothing would be scaled there.
pub(crate) fn rescaled(guided: &Tensor, given: &Tensor, phi: f64) -> Result<Tensor, SampleError> {
    let ratio = (deviation(given)? / deviation(guided)?)?;
    let factor = ((ratio * phi)? + (1.0 - phi))?;
    Ok(guided.broadcast_mul(&factor)?)
}
