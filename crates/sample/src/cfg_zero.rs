//! CFG-Zero* (Fan et al. 2025): the null prediction at its best scale.

use crate::{SampleError, per_image::dot};
use candle_core::Tensor;

/// s* p(∅) with s* = ⟨p(c), p(∅)⟩/‖p(∅)‖² of each image, which minimises ‖p(c) - s p(∅)‖.
///
/// The paper's other half, leaving out the first steps, is for flows whose first velocity is wrong.
pub(crate) fn scaled(given: &Tensor, free: &Tensor) -> Result<Tensor, SampleError> {
    let scale = (dot(given, free)? / (dot(free, free)? + 1e-8)?)?;
    Ok(free.broadcast_mul(&scale)?)
}
