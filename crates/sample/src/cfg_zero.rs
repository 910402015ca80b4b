//! CFG-Zero* (Fan et al. 2025): the null prediction at its best scale.

use crate::SampleError;
use candle_core::Tensor;

/// s* p(∅) with s* = ⟨p(c), p(∅)⟩/‖p(∅)‖² of each image, which minimises ‖p(c) - s p(∅)‖.
///
/// The paper's other half, leaving out the first steps, is for flows whose first velocity is wrong.
pub(crate) fn scaled(given: &Tensor, free: &Tensor) -> Result<Tensor, SampleError> {
    let sum = |x: Tensor| x.flatten_from(1)?.sum_keepdim(1);
    let scale = (sum((given * free)?)? / (sum(free.sqr()?)? + 1e-8)?)?;
    let mut shape = vec![1; free.rank()];
    shape[0] = free.dim(0)?;
    Ok(free.broadcast_mul(&scale.reshape(shape)?)?)
}
