//! Clipped density and clipped coverage of samples (Salvy et al. 2025).

use crate::error::EvalError;
use crate::features::Features;
use crate::manifold::Manifold;

/// How real samples look and how much of the real variety they cover, each as a share of good samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClippedDensityCoverage {
    /// 1 for samples that lie as densely among the real images as these do themselves, 0 for samples far from all. The paper's
    /// stops at 1; this one is above it for samples that are more typical than real images, and by chance.
    pub density: f64,
    /// c for samples of which a share c is drawn like the real images, and the rest is far away. The paper's stops at 1; this
    /// one is above it, by 1 at most, for samples that are spread more evenly than real images, and by chance.
    pub coverage: f64,
}

/// Clipped density and clipped coverage of samples (m, d) in the manifold of real images (n, d) (Salvy et al. 2025,
/// "Enhanced Generative Model Evaluation with Clipped Density and Coverage"; k = 5 there, as
/// [`DENSITY_COVERAGE_K`](crate::DENSITY_COVERAGE_K)).
///
/// No image counts for more than k balls, no ball is larger than the median one, and both are calibrated: they fall
/// in proportion to the share of samples that lie nowhere near a real image. Errors: rows of different lengths; m < k.
pub fn clipped_density_coverage(
    real: &Manifold,
    samples: &Features,
) -> Result<ClippedDensityCoverage, EvalError> {
    crate::features::check_rows(samples, "the clipped coverage", real.k())?;
    let k = real.k();
    // density = Σ_j min(#balls around y_j / k, 1) / m, over the same of the real images, whose own balls do not count.
    let small = real.with_radii_up_to_the_median();
    let share = |count: usize| (count as f64 / k as f64).min(1.0);
    let mean = |counts: Vec<usize>, own: usize| {
        counts.iter().map(|count| share(count - own)).sum::<f64>() / counts.len() as f64
    };
    let drawn = mean(small.balls_around(samples)?, 0);
    let ideal = mean(small.balls_around(real.features())?, 1);
    // coverage = g(Σ_i min(#samples in ball i / k, 1) / n)
    let covered = mean(real.points_inside(samples)?, 0);
    let coverage = share_of_good(covered, k, real.features().len(), samples.len());
    Ok(ClippedDensityCoverage { density: drawn / ideal, coverage })
}

/// The share of m + 1 samples that have to be good for this mean of clipped coverages, 0 to 2: f⁻¹, by its values for 0 to
/// 2 m + 1 good samples.
fn share_of_good(covered: f64, k: usize, n: usize, m: usize) -> f64 {
    // f rises, so the number of its values below is found by halving.
    let (mut low, mut high) = (0, 2 * (m + 1));
    while low < high {
        let middle = (low + high) / 2;
        match expected(middle, k, n) < covered {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low as f64 / (m + 1) as f64
}

/// f(m) = E[min(J, k)]/k for the number J of m good samples in the ball of a real image, which reaches to the k-th
/// of its n - 1 neighbours: the ball's probability is of the distribution Beta(k, n - k), so J is beta-binomial.
fn expected(m: usize, k: usize, n: usize) -> f64 {
    let (k, n, m) = (k as f64, n as f64, m as f64);
    // P(0) = Π_{i=0}^{k-1} (n - k + i)/(n - k + m + i), which is B(k, n - k + m)/B(k, n - k).
    let mut probability: f64 = (0..k as usize).map(|i| (n - k + i as f64) / (n - k + m + i as f64)).product();
    let mut missing = 0.0;
    for j in 0..k as usize {
        let j = j as f64;
        missing += (1.0 - j / k) * probability;
        // P(j + 1)/P(j) = (m - j)/(j + 1) · (k + j)/(n - k + m - j - 1)
        probability *= ((m - j) / (j + 1.0) * (k + j) / (n - k + m - j - 1.0)).max(0.0);
    }
    1.0 - missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calibration_begins_at_nothing_and_rises_to_nearly_all() {
        for (k, n, m) in [(5, 50, 50), (5, 1000, 1000), (1, 30, 90), (3, 200, 20)] {
            let values: Vec<f64> = (0..=m).map(|m| expected(m, k, n)).collect();
            assert!(values[0].abs() < 1e-12, "{}", values[0]);
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(share_of_good(values[m / 2], k, n, m), (m / 2) as f64 / (m + 1) as f64);
            assert_eq!(share_of_good(1.0, k, n, m), 2.0);
            assert!(share_of_good((values[m] + expected(m + 1, k, n)) / 2.0, k, n, m) == 1.0);
        }
        // A good sample is as likely as a further real image to be one of the first k: one of one, in n balls of k/n.
        assert!((expected(1, 4, 100) - 0.01).abs() < 1e-12);
    }
}
