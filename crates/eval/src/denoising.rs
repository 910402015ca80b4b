//! The denoising loss, timestep by timestep.

use crate::denoiser::{Denoiser, Labelled, Probe};
use crate::error::EvalError;

/// The loss at a timestep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimestepLoss {
    /// t.
    pub t: usize,
    /// The mean over images and values of (ε - ε̂)² (Ho et al. 2020, equation 14). A perfect answer has 0;
    /// the answer ε̂ = 0 has 1.
    pub loss: f64,
}

/// The loss of ε̂ at each of `timesteps`, for every kind of prediction. Each image has one noise of its own
/// at each timestep.
///
/// Errors: no images; not one label for each image; a timestep beyond the schedule; the network's errors.
pub fn denoising_loss(
    denoiser: &mut Denoiser<'_>,
    data: Labelled<'_>,
    timesteps: &[usize],
    seed: u64,
) -> Result<Vec<TimestepLoss>, EvalError> {
    let count = data.count()?;
    let values = (data.images.elem_count() / count) as f64;
    let last = denoiser.schedule.len() - 1;
    if let Some(&t) = timesteps.iter().find(|&&t| t > last) {
        return Err(EvalError::Row { row: t, rows: last + 1 });
    }
    let mut losses = Vec::with_capacity(timesteps.len());
    for (k, &t) in timesteps.iter().enumerate() {
        let row = |image: usize| Probe { image, t, draw: k as u64, label: data.label(image) };
        let rows: Vec<Probe> = (0..count).map(row).collect();
        let errors = denoiser.errors(data.images, &rows, (seed, "denoising loss"))?;
        let sum: f64 = errors.iter().map(|errors| errors.epsilon).sum();
        losses.push(TimestepLoss { t, loss: sum / (count as f64 * values) });
    }
    Ok(losses)
}
