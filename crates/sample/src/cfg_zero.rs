//! CFG-Zero* (Fan et al. 2025): the null prediction at its best scale.

use crate::{SampleError, per_image::dot};
use candle_core::Tensor;

/// s* v(∅) with s* = ⟨v(c), v(∅)⟩/‖v(∅)‖² of each image, which minimises ‖v(c) - s v(∅)‖.
///
/// The predictions are taken as v, whatever the network predicts: the paper scales the velocity of a flow,
/// and v is that of this one, along the angle with cos² = ᾱ. Of ε, which in much noise is x for every
/// class, s* would be 1 there.
/// The paper's other half, leaving out the first steps, is for flows whose first velocity is wrong.
pub(crate) fn scaled(given: &Tensor, free: &Tensor) -> Result<Tensor, SampleError> {
    let scale = (dot(given, free)? / (dot(free, free)? + 1e-8)?)?;
    Ok(free.broadcast_mul(&scale)?)
}
