//! The kernel distance between two sets (Bińkowski et al. 2018).

use crate::error::EvalError;
use crate::features::Features;
use crate::features::{check_dims, check_rows};
use crate::pairs::{DotProduct, map_rows};

/// The unbiased squared maximum mean discrepancy of `a` (m, d) and `b` (n, d) with the kernel
/// k(x, y) = (⟨x, y⟩/d + 1)³ (Bińkowski et al. 2018, section 4; Gretton et al. 2012, equation 3):
///
/// Σ_{i≠j} k(a_i, a_j)/(m(m-1)) + Σ_{i≠j} k(b_i, b_j)/(n(n-1)) - 2 Σ_{i,j} k(a_i, b_j)/(mn)
///
/// It uses all pairs; the paper averages over subsets. Its mean over draws of the sets does not depend on m
/// and n. For two sets of the same distribution this mean is 0, and the value is negative about as often as
/// positive. Errors: rows of different lengths; fewer than 2 rows.
pub fn kernel_distance(a: &Features, b: &Features) -> Result<f64, EvalError> {
    check_dims(a, b)?;
    check_rows(a, "the kernel distance", 2)?;
    check_rows(b, "the kernel distance", 2)?;
    Ok(mean_kernel(a, a, true) + mean_kernel(b, b, true) - 2.0 * mean_kernel(a, b, false))
}

/// The mean of k(a_i, b_j) over all pairs, or over those with i ≠ j.
fn mean_kernel(a: &Features, b: &Features, distinct: bool) -> f64 {
    let d = a.dims() as f64;
    let sums = map_rows(a, b, DotProduct, |i, products| {
        let kernels = products.iter().map(|product| (product / d + 1.0).powi(3));
        let chosen = kernels.enumerate().filter(|&(j, _)| !distinct || i != j);
        chosen.map(|(_, kernel)| kernel).sum::<f64>()
    });
    sums.iter().sum::<f64>() / (a.len() * (b.len() - usize::from(distinct))) as f64
}
