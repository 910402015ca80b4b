//! Logistic regression of two classes.

use crate::error::EvalError;
use crate::features::Features;
use nalgebra::{DMatrix, DVector};

/// Steps of Newton's method; about eight are usual.
const STEPS: usize = 100;
/// The largest slope of a solution.
const SLOPE: f64 = 1e-9;

/// A plane between two classes: an image is of the second where ⟨weights, x⟩ + intercept > 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// One for each feature.
    pub weights: Vec<f64>,
    /// Not kept small by the ridge.
    pub intercept: f64,
}

impl Logistic {
    /// The minimum of Σ_i ln(1 + exp(-s_i (⟨w, x_i⟩ + b)))/n + ridge ‖w‖²/2 over (w, b), s_i = ±1, by Newton's method
    /// with halved steps where a whole one climbs; ridge > 0. It is scikit-learn's with C = 1/(ridge · n).
    ///
    /// `second[i]` says whether row i (n, d) is of the second class. Errors: not one for each row; no convergence.
    pub fn fit(features: &Features, second: &[bool], ridge: f64) -> Result<Self, EvalError> {
        let (n, d) = (features.len(), features.dims());
        if second.len() != n {
            return Err(EvalError::Counts { what: "labels", left: second.len(), right: n });
        }
        if !(ridge > 0.0 && ridge.is_finite()) {
            return Err(EvalError::OutOfRange { name: "ridge", value: ridge, range: "above 0" });
        }
        // A last column of ones is the intercept's.
        let x = DMatrix::from_fn(n, d + 1, |i, j| if j == d { 1.0 } else { f64::from(features.row(i)[j]) });
        let signs: Vec<f64> = second.iter().map(|&second| if second { 1.0 } else { -1.0 }).collect();
        let small = |w: &DVector<f64>| w.rows(0, d).norm_squared();
        let loss = |w: &DVector<f64>| {
            let scores = &x * w;
            let sum: f64 = scores.iter().zip(&signs).map(|(score, sign)| softplus(-sign * score)).sum();
            sum / n as f64 + ridge * small(w) / 2.0
        };
        let mut w = DVector::zeros(d + 1);
        for _ in 0..STEPS {
            let scores = &x * &w;
            let wrong = |i: usize| 1.0 / (1.0 + (signs[i] * scores[i]).exp());
            let slopes = DVector::from_fn(n, |i, _| -signs[i] * wrong(i) / n as f64);
            let mut gradient = x.tr_mul(&slopes);
            let mut scaled = x.clone();
            for (i, mut row) in scaled.row_iter_mut().enumerate() {
                row *= (wrong(i) * (1.0 - wrong(i)) / n as f64).sqrt();
            }
            let mut curvature = scaled.tr_mul(&scaled);
            for j in 0..d {
                gradient[j] += ridge * w[j];
                curvature[(j, j)] += ridge;
            }
            // The intercept's curvature is tiny where all rows are far on the right side.
            curvature[(d, d)] += 1e-12;
            if gradient.amax() < SLOPE {
                return Ok(Self { weights: w.rows(0, d).iter().copied().collect(), intercept: w[d] });
            }
            let step = curvature.cholesky().ok_or(EvalError::NoConvergence("logistic regression"))?;
            let mut step = step.solve(&gradient);
            let before = loss(&w);
            for _ in 0..STEPS {
                if loss(&(&w - &step)) <= before + 1e-15 {
                    break;
                }
                step /= 2.0;
            }
            w -= step;
        }
        Err(EvalError::NoConvergence("logistic regression"))
    }

    /// ⟨weights, x⟩ + intercept of a row with as many features.
    pub fn score(&self, row: &[f32]) -> f64 {
        row.iter().zip(&self.weights).map(|(x, w)| f64::from(*x) * w).sum::<f64>() + self.intercept
    }
}

/// ln(1 + eˣ), which never overflows.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
