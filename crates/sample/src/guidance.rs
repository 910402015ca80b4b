//! Classifier-free guidance.

use crate::SampleError;
use candle_core::Tensor;

/// Classifier-free guidance (Ho & Salimans 2022, equation 6).
///
/// p̃ = p(x, ∅) + w · (p(x, c) - p(x, ∅)). **w = 1 is no guidance** and w = 0 unconditional; larger
/// w trades variety for fidelity to the class. Ho & Salimans write (1 + w')p(x, c) - w'p(x, ∅):
/// w = 1 + w'. The rule holds for ε, v and x_0 predictions alike, which are affine in each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// w, any finite number.
    pub weight: f64,
    /// The label that stands for no class; none for a model that was trained without one, which
    /// takes w = 1 only.
    pub null_label: Option<u32>,
}

impl Guidance {
    /// The guided prediction at (x, t), shape of `x`.
    ///
    /// Both passes run as one batch of 2n, and only one of n where w is 1 or 0. `labels` (n) u32 is
    /// none for an unconditional model, which has nothing to guide.
    pub fn predict<F>(
        &self,
        x: &Tensor,
        t: &Tensor,
        labels: Option<&Tensor>,
        mut denoise: F,
    ) -> Result<Tensor, SampleError>
    where
        F: FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError>,
    {
        let w = self.weight;
        if !w.is_finite() {
            return Err(SampleError::Setting(format!("guidance {w}: must be a finite number")));
        }
        let Some(labels) = labels.filter(|_| w != 1.0) else {
            return denoise(x, t, labels);
        };
        let Some(null) = self.null_label else {
            return Err(SampleError::Setting(format!(
                "guidance {w}: the model has no null label, so only 1 works"
            )));
        };
        let nulls = Tensor::full(null, labels.dims(), labels.device())?;
        if w == 0.0 {
            return denoise(x, t, Some(&nulls));
        }
        let twice = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        let both = denoise(&twice(x, x)?, &twice(t, t)?, Some(&twice(labels, &nulls)?))?;
        let halves = both.chunk(2, 0)?;
        let (conditional, null) = (&halves[0], &halves[1]);
        // p̃ = p(x, ∅) + w (p(x, c) - p(x, ∅))
        Ok((null + ((conditional - null)? * w)?)?)
    }
}
