//! Clipping of the gradient's global norm.

use candle_core::{Result, Tensor};
use duet_kernels::optimise;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Scales the gradients so that their global norm is at most `limit`; returns the norm before the scaling.
///
/// The factor is min(1, limit / (norm + 1e-6)), as in torch's `clip_grad_norm_` (Pascanu et al. 2013). If
/// the norm is not finite, the gradients stay as they are. Errors: those of candle.
pub fn clip_global_norm(gradients: &mut BTreeMap<String, Tensor>, limit: f64) -> Result<f64> {
    // First sum each parameter by itself, then add these sums in the order of the names.
    let values: Vec<&Tensor> = gradients.values().collect();
    let squares: Vec<f64> = values.into_par_iter().map(optimise::sum_of_squares).collect::<Result<_>>()?;
    let sum: f64 = squares.iter().sum();
    let norm = sum.sqrt();
    let factor = limit / (norm + 1e-6);
    if factor < 1.0 && norm.is_finite() {
        let values: Vec<&mut Tensor> = gradients.values_mut().collect();
        values.into_par_iter().try_for_each(|gradient| {
            // Scale in place on the CPU, because a copy of all gradients is as large as the network.
            match gradient.device().is_cpu() && gradient.is_contiguous() {
                true => optimise::scale(gradient, factor),
                false => {
                    *gradient = (&*gradient * factor)?;
                    Ok(())
                }
            }
        })?;
    }
    Ok(norm)
}
