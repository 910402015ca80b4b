//! Adaptive projected guidance (Sadat et al. 2024, "Eliminating oversaturation and artifacts").

use crate::{SampleError, per_image::dot};
use candle_core::Tensor;

/// Guidance by the part of x̂_0(c) - x̂_0(∅) that is orthogonal to x̂_0(c), which changes what an
/// image shows, more than by the parallel part, which only saturates it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apg {
    /// Share of the parallel part that stays, 0 to 1; 1 is plain guidance.
    pub eta: f64,
    /// The difference's norm over an image is at most this; infinite for no limit.
    pub norm: f64,
    /// Momentum of the difference over the steps, -1 to 1; negative as in the paper pushes away from
    /// the directions of before, 0 is none.
    pub momentum: f64,
}

impl Apg {
    /// η = 0, no limit, momentum -0.5.
    pub const PAPER: Self = Self { eta: 0.0, norm: f64::INFINITY, momentum: -0.5 };

    /// x̂_0(c) + (w - 1) · (orthogonal + η · parallel), and the Δ to be remembered; `before` is the
    /// last step's.
    pub(crate) fn guided(
        &self,
        given: &Tensor,
        free: &Tensor,
        weights: &Tensor,
        before: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor), SampleError> {
        // Δ ← D + β Δ
        let mut difference = (given - free)?;
        if let Some(before) = before.filter(|_| self.momentum != 0.0) {
            difference = (difference + (before * self.momentum)?)?;
        }
        let remembered = difference.detach();
        if self.norm.is_finite() {
            let length = dot(&difference, &difference)?.sqrt()?;
            let factor = ((length + 1e-12)?.recip()? * self.norm)?.minimum(1.0)?;
            difference = difference.broadcast_mul(&factor)?;
        }
        // The parallel part is ⟨Δ, x̂_0⟩/‖x̂_0‖² x̂_0.
        let share = (dot(&difference, given)? / (dot(given, given)? + 1e-12)?)?;
        let parallel = given.broadcast_mul(&share)?;
        let step = ((&difference - &parallel)? + (&parallel * self.eta)?)?;
        Ok(((given + step.broadcast_mul(&(weights - 1.0)?)?)?, remembered))
    }
}
