//! Precision and recall of samples (Kynkäänniemi et al. 2019).

use crate::error::EvalError;
use crate::features::Features;
use crate::manifold::Manifold;

/// Which share of the samples might be real, and which share of the real images might be sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the samples in a ball of a real image, 0 to 1: falls with bad samples.
    pub precision: f64,
    /// Share of the real images in a ball of a sample, 0 to 1: falls with missing variety.
    pub recall: f64,
}

/// Precision and recall of manifolds of real images (n, d) and samples (m, d) (Kynkäänniemi et al.
/// 2019, equation 2; k = [`PRECISION_RECALL_K`](crate::PRECISION_RECALL_K)).
///
/// A sample far from everything has a large ball, which adds to recall; the coverage of
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
