//! The region of a set of images: a ball around each image, as large as the distance to its k-th neighbour.

use crate::error::EvalError;
use crate::features::Features;
use crate::features::{check_dims, check_rows};
use crate::pairs::{SquaredDifference, map_rows};
use crate::quantile::{quantile, sorted};

/// The k of precision and recall in their paper (Kynkäänniemi et al. 2019, section 2).
pub const PRECISION_RECALL_K: usize = 3;

/// The k of density and coverage in their paper (Naeem et al. 2020, section 3).
pub const DENSITY_COVERAGE_K: usize = 5;

/// Closed balls around the rows of a set (n, d). Each reaches to the row's k-th nearest other row
/// (Kynkäänniemi et al. 2019, equation 1).
///
/// One manifold of the real images serves every set of samples.
#[derive(Debug, Clone)]
pub struct Manifold<'a> {
    features: &'a Features,
    k: usize,
    squared_radii: Vec<f64>,
}

impl<'a> Manifold<'a> {
    /// Makes the balls of a set with more than k rows, k ≥ 1.
    ///
    /// Equal rows are neighbours at distance 0. If k other rows equal a row, its ball is a point. Errors: k
    /// = 0; too few rows.
    pub fn new(features: &'a Features, k: usize) -> Result<Self, EvalError> {
        if k == 0 {
            return Err(EvalError::OutOfRange { name: "k", value: 0.0, range: "1 or more" });
        }
        check_rows(features, "a manifold of k neighbours", k.saturating_add(1))?;
        let squared_radii = map_rows(features, features, SquaredDifference, |i, squares| {
            // A row is not its own neighbour.
            squares[i] = f64::INFINITY;
            *squares.select_nth_unstable_by(k - 1, f64::total_cmp).1
        });
        Ok(Self { features, k, squared_radii })
    }

    /// The rows at the centres of the balls.
    pub fn features(&self) -> &'a Features {
        self.features
    }

    /// k, the number of the neighbour.
    pub fn k(&self) -> usize {
        self.k
    }

    /// For each of `points` (m, d), in order: the number of balls that contain it, 0 to n.
    ///
    /// Errors: rows of different lengths.
    pub fn balls_around(&self, points: &Features) -> Result<Vec<usize>, EvalError> {
        check_dims(points, self.features)?;
        Ok(map_rows(points, self.features, SquaredDifference, |_, squares| {
            squares.iter().zip(&self.squared_radii).filter(|(square, radius)| square <= radius).count()
        }))
    }

    /// For each ball (n), in order: how many of `points` (m, d) it contains.
    ///
    /// Errors: rows of different lengths.
    pub fn points_inside(&self, points: &Features) -> Result<Vec<usize>, EvalError> {
        check_dims(points, self.features)?;
        Ok(map_rows(self.features, points, SquaredDifference, |i, squares| {
            squares.iter().filter(|square| **square <= self.squared_radii[i]).count()
        }))
    }

    /// The same balls, none larger than the median one (Salvy et al. 2025): an image far from all others has no ball
    /// in which anything would pass for real.
    pub(crate) fn with_radii_up_to_the_median(&self) -> Self {
        let radii = sorted(self.squared_radii.iter().map(|square| square.sqrt()));
        let median = quantile(&radii, 0.5).powi(2);
        let squared_radii = self.squared_radii.iter().map(|square| square.min(median)).collect();
        Self { features: self.features, k: self.k, squared_radii }
    }

    /// For each row (n), in order: whether its ball contains any of `points` (m, d).
    ///
    /// Errors: rows of different lengths.
    pub fn covered_by(&self, points: &Features) -> Result<Vec<bool>, EvalError> {
        check_dims(points, self.features)?;
        Ok(map_rows(self.features, points, SquaredDifference, |i, squares| {
            squares.iter().any(|square| *square <= self.squared_radii[i])
        }))
    }
}
