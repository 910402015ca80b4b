//! Density and coverage of samples (Naeem et al. 2020).

use crate::error::EvalError;
use crate::features::Features;
use crate::manifold::Manifold;

/// How densely samples lie among real images, and how many real images have a sample nearby.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DensityCoverage {
    /// The mean number of balls around a sample, divided by k. It is about 1 for samples like the real
    /// images, and larger if samples stay where real images are dense.
    pub density: f64,
    /// The share of the real images with a sample in their ball, 0 to 1.
    pub coverage: f64,
}

/// Density and coverage of samples (m, d) in the manifold of real images (n, d) (Naeem et al. 2020,
/// section 3; k = [`DENSITY_COVERAGE_K`](crate::DENSITY_COVERAGE_K)).
///
/// Samples exactly like the real images have a coverage of about 1 - 2⁻ᵏ if m = n, and more if m is larger.
/// Therefore compare only equal m, n and k. Errors: rows of different lengths.
pub fn density_coverage(real: &Manifold, samples: &Features) -> Result<DensityCoverage, EvalError> {
    // density = 1/(k m) Σ_j Σ_i 1[‖y_j - x_i‖ ≤ r_i]
    let balls: usize = real.balls_around(samples)?.iter().sum();
    let density = balls as f64 / (real.k() as f64 * samples.len() as f64);
    // coverage = 1/n Σ_i 1[min_j ‖y_j - x_i‖ ≤ r_i]
    let covered = real.covered_by(samples)?.iter().filter(|&&covered| covered).count();
    Ok(DensityCoverage { density, coverage: covered as f64 / real.features().len() as f64 })
}
