//! The Fréchet distance between Gaussians (Heusel et al. 2017).

use crate::error::EvalError;
use crate::features::Features;
use crate::features::check_rows;
use nalgebra::{DMatrix, DVector, RowDVector, SVD, SymmetricEigen};

/// The largest number of iterations for each eigenvalue; two or three are usual.
const ITERATIONS: usize = 1000;

/// The Gaussian fitted to a set of features, in f64: mean (d) and covariance (d, d).
#[derive(Debug, Clone)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
    root: DMatrix<f64>,
}

impl Gaussian {
    /// The mean of n ≥ 2 rows and their unbiased covariance, Σ (x_i - μ)(x_i - μ)ᵀ/(n - 1).
    ///
    /// n may be below d; the covariance then does not have full rank. Errors: fewer than 2 rows.
    pub fn fit(features: &Features) -> Result<Self, EvalError> {
        check_rows(features, "a covariance", 2)?;
        let (n, d) = (features.len(), features.dims());
        let mut rows = DMatrix::from_row_iterator(n, d, features.values().iter().map(|&x| f64::from(x)));
        let mean: RowDVector<f64> = rows.row_sum() / n as f64;
        for mut row in rows.row_iter_mut() {
            row -= &mean;
        }
        let covariance = (rows.transpose() * &rows) / (n as f64 - 1.0);
        let root = root(&covariance)?;
        Ok(Self { mean: mean.transpose(), covariance, root })
    }

    /// μ, d values.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// S, d × d values. It is symmetric, so the order of rows and columns does not matter.
    pub fn covariance(&self) -> &[f64] {
        self.covariance.as_slice()
    }
}

/// ‖μ_1 - μ_2‖² + tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2}) (Heusel et al. 2017, equation 6), never below 0.
///
/// It is the square of a metric between Gaussians (Dowson & Landau 1982). For finite sets it is biased
/// upwards; fewer rows give a larger bias. Therefore compare only sets of equal size (Chong & Forsyth
/// 2020). nalgebra's symmetric eigendecompositions give the roots. Errors: different d; an iteration that
/// does not converge.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64, EvalError> {
    let (left, right) = (a.mean.len(), b.mean.len());
    if left != right {
        return Err(EvalError::Dims { left, right });
    }
    let means = (&a.mean - &b.mean).norm_squared();
    let traces = a.covariance.trace() + b.covariance.trace();
    // tr (S_1 S_2)^{1/2} = tr (S_2^{1/2} S_1 S_2^{1/2})^{1/2} = Σ σ_i(S_1^{1/2} S_2^{1/2}): singular
    // values, which rounding harms less than the roots of eigenvalues.
    let product = &a.root * &b.root;
    let limit = ITERATIONS * left;
    let svd = SVD::try_new(product, false, false, f64::EPSILON, limit);
    let singular = svd.ok_or(EvalError::NoConvergence("singular values of the covariances"))?;
    Ok((means + traces - 2.0 * singular.singular_values.sum()).max(0.0))
}

/// The symmetric R with R R = S. Eigenvalues up to d·ε·λ_max, positive or negative, count as 0: rounding
/// turns zeros into such values, and their roots would be 1e-8 instead of 1e-16.
fn root(covariance: &DMatrix<f64>) -> Result<DMatrix<f64>, EvalError> {
    let limit = ITERATIONS * covariance.nrows();
    let eigen = SymmetricEigen::try_new(covariance.clone(), f64::EPSILON, limit);
    let eigen = eigen.ok_or(EvalError::NoConvergence("eigenvalues of a covariance"))?;
    let zero = covariance.nrows() as f64 * f64::EPSILON * eigen.eigenvalues.max();
    let mut scaled = eigen.eigenvectors.clone();
    for (mut vector, value) in scaled.column_iter_mut().zip(eigen.eigenvalues.iter()) {
        vector *= if *value > zero { value.sqrt() } else { 0.0 };
    }
    Ok(scaled * eigen.eigenvectors.transpose())
}
