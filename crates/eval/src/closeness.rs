//! All metrics of two sets of features at once.

use crate::clipped::clipped_density_coverage;
use crate::density_coverage::density_coverage;
use crate::error::EvalError;
use crate::features::Features;
use crate::frechet::{Gaussian, frechet_distance};
use crate::kernel_distance::kernel_distance;
use crate::manifold::{DENSITY_COVERAGE_K, Manifold, PRECISION_RECALL_K};
use crate::precision_recall::precision_recall;

/// How close samples are to real images. All but the kernel distance depend on how many there are of either.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closeness {
    /// [`frechet_distance`].
    pub frechet: f64,
    /// [`kernel_distance`].
    pub kernel_distance: f64,
    /// [`precision_recall`].
    pub precision: f64,
    /// [`precision_recall`].
    pub recall: f64,
    /// [`density_coverage`].
    pub density: f64,
    /// [`density_coverage`].
    pub coverage: f64,
    /// [`clipped_density_coverage`].
    pub clipped_density: f64,
    /// [`clipped_density_coverage`].
    pub clipped_coverage: f64,
}

impl Closeness {
    /// Of samples (m, d) to real images (n, d), with each metric's usual k. Errors: rows of different lengths; fewer
    /// than k + 1 = 6 rows.
    pub fn new(real: &Features, samples: &Features) -> Result<Self, EvalError> {
        let balls = Manifold::new(real, DENSITY_COVERAGE_K)?;
        let clipped = clipped_density_coverage(&balls, samples)?;
        let all = density_coverage(&balls, samples)?;
        let pr = precision_recall(
            &Manifold::new(real, PRECISION_RECALL_K)?,
            &Manifold::new(samples, PRECISION_RECALL_K)?,
        )?;
        Ok(Self {
            frechet: frechet_distance(&Gaussian::fit(real)?, &Gaussian::fit(samples)?)?,
            kernel_distance: kernel_distance(real, samples)?,
            precision: pr.precision,
            recall: pr.recall,
            density: all.density,
            coverage: all.coverage,
            clipped_density: clipped.density,
            clipped_coverage: clipped.coverage,
        })
    }

    /// The mean of several, each number by itself; none of none.
    pub fn mean(several: &[Self]) -> Option<Self> {
        let of = |number: fn(&Self) -> f64| several.iter().map(number).sum::<f64>() / several.len() as f64;
        (!several.is_empty()).then(|| Self {
            frechet: of(|c| c.frechet),
            kernel_distance: of(|c| c.kernel_distance),
            precision: of(|c| c.precision),
            recall: of(|c| c.recall),
            density: of(|c| c.density),
            coverage: of(|c| c.coverage),
            clipped_density: of(|c| c.clipped_density),
            clipped_coverage: of(|c| c.clipped_coverage),
        })
    }
}
