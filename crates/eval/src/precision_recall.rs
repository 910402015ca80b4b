//! Precision and recall of samples (Kynkäänniemi et al. 2019).

use crate::error::EvalError;
use crate::features::Features;
use crate::manifold::Manifold;

/// The share of the samples that could be real, and the share of the real images that could be sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// The share of the samples in a ball of a real image, 0 to 1. Bad samples lower it.
    pub precision: f64,
    /// The share of the real images in a ball of a sample, 0 to 1. Missing variety lowers it.
    pub recall: f64,
}

/// Precision and recall of manifolds of real images (n, d) and samples (m, d) (Kynkäänniemi et al.
/// 2019, equation 2; k = [`PRECISION_RECALL_K`](crate::PRECISION_RECALL_K)).
///
/// A sample far from all others has a large ball, which raises recall. The coverage of
/// [`density_coverage`](crate::density_coverage) does not have this flaw. Errors: rows of different
/// lengths.
pub fn precision_recall(real: &Manifold, samples: &Manifold) -> Result<PrecisionRecall, EvalError> {
    Ok(PrecisionRecall {
        precision: share_inside(samples.features(), real)?,
        recall: share_inside(real.features(), samples)?,
    })
}

/// The share of points that lie in any ball.
fn share_inside(points: &Features, manifold: &Manifold) -> Result<f64, EvalError> {
    let balls = manifold.balls_around(points)?;
    Ok(balls.iter().filter(|&&count| count > 0).count() as f64 / balls.len() as f64)
}
