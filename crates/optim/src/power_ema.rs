//! Averages of the weights. Their length can be chosen after the training (Karras et al. 2024b, section 3).
//!
//! A power-function average of exponent γ weighs the weights of step τ by τ^γ: θ̂(t) = (γ+1)/t^(γ+1) ∫₀ᵗ
//! τ^γ θ(τ) dτ. Its length is relative to the training so far. Two such averages of different lengths, kept
//! at several steps, form a basis: any other average is nearly a weighted sum of them.

use crate::error::OptimError;
use nalgebra::{DMatrix, DVector};

/// Relative lengths σ_rel of the two averages that a trainer keeps (section 3.2).
pub const POWER_LENGTHS: [f64; 2] = [0.05, 0.10];

/// The length for γ = 0, the mean of all steps. No exponent γ ≥ 0 has a larger one.
const LONGEST: f64 = 0.288_675_134_594_812_9;
const SHORTEST: f64 = 1e-6;

/// The average of relative length `length` after `step` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerAverage {
    /// t, at least 1.
    pub step: u64,
    /// σ_rel, the standard deviation of the weighting divided by t.
    pub length: f64,
}

/// γ for a relative length σ: the root of σ² (γ+2)² (γ+3) = γ+1 (equations 123 and 126). Errors: lengths
/// outside 10⁻⁶ to 0.2886.
pub fn power_exponent(length: f64) -> Result<f64, OptimError> {
    if !(SHORTEST..LONGEST).contains(&length) {
        let range = "above 0 and below 0.2887, the length of the mean of all steps";
        return Err(OptimError(format!("an average of relative length {length}: must be {range}")));
    }
    // For γ ≥ 0, the length falls as γ grows.
    let length_of = |gamma: f64| ((gamma + 1.0) / (gamma + 3.0)).sqrt() / (gamma + 2.0);
    let (mut low, mut high) = (0.0, 2.0 / length);
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        if middle == low || middle == high {
            break;
        }
        if length_of(middle) > length { low = middle } else { high = middle }
    }
    Ok(0.5 * (low + high))
}

/// The share of an average that step t = `step` ≥ 1 keeps: (1 - 1/t)^(γ+1) (equation 127).
pub fn power_decay(exponent: f64, step: u64) -> f64 {
    (1.0 - 1.0 / step as f64).powf(exponent + 1.0)
}

/// The factors whose weighted sum of the averages in `kept` is nearly the `wanted` one, and the remaining
/// error of its weighting, as a share of the weighting's norm.
///
/// The factors solve a least-squares problem over the weightings (equation 151, algorithm 3). Their sum is
/// 1, so that weights which never change stay as they are. Here the sum is a constraint; the paper scales
/// the factors afterwards.
///
/// Errors: no averages; the same average twice; a wanted average after the last of `kept`; a length out of
/// its range.
pub fn power_factors(kept: &[PowerAverage], wanted: PowerAverage) -> Result<(Vec<f64>, f64), OptimError> {
    let refuse = |message: String| Err(OptimError(message));
    let last = kept.iter().map(|average| average.step).max().unwrap_or(0);
    if wanted.step == 0 || wanted.step > last {
        return refuse(format!(
            "an average after step {}: the last that was kept is after {last}",
            wanted.step
        ));
    }
    let weighting = |average: &PowerAverage| Ok((average.step as f64, power_exponent(average.length)?));
    let basis = kept.iter().map(weighting).collect::<Result<Vec<_>, OptimError>>()?;
    let target = weighting(&wanted)?;
    // The last row is a Lagrange multiplier. It keeps the sum of the factors at 1.
    let count = kept.len();
    let system = DMatrix::from_fn(count + 1, count + 1, |i, j| match (basis.get(i), basis.get(j)) {
        (Some(&a), Some(&b)) => product(a, b),
        (None, None) => 0.0,
        _ => 1.0,
    });
    let right = DVector::from_fn(count + 1, |i, _| basis.get(i).map_or(1.0, |&a| product(a, target)));
    let Some(solution) = system.clone().full_piv_lu().solve(&right) else {
        return refuse("the same average is there twice".into());
    };
    let (factors, with_target) = (solution.rows(0, count), right.rows(0, count));
    let gram = system.view((0, 0), (count, count));
    let norm = product(target, target);
    let left = norm - 2.0 * factors.dot(&with_target) + factors.dot(&(gram * factors));
    Ok((factors.iter().copied().collect(), (left.max(0.0) / norm).sqrt()))
}

/// The integral of the product of two weightings. Each is (γ+1)/t (τ/t)^γ up to its t.
fn product((t_a, gamma_a): (f64, f64), (t_b, gamma_b): (f64, f64)) -> f64 {
    let (shorter, exponent) = if t_a < t_b { (t_a / t_b, gamma_b) } else { (t_b / t_a, gamma_a) };
    let weights = (gamma_a + 1.0) * (gamma_b + 1.0) / (gamma_a + gamma_b + 1.0);
    weights * shorter.powf(exponent) / t_a.max(t_b)
}
