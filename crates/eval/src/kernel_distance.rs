//! The kernel distance between two sets (Bińkowski et al. 2018).

use crate::bootstrap::{Bootstrap, ConfidenceInterval};
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
    Ok(KernelDistance::new(a, b)?.value())
}

/// The kernel distance with what each row contributes to it.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelDistance {
    /// Of each row of `a` (m): the mean of k to the other rows of `a`, less that to the rows of `b`.
    pub of_a: Vec<f64>,
    /// Of each row of `b` (n), likewise.
    pub of_b: Vec<f64>,
}

impl KernelDistance {
    /// As [`kernel_distance`].
    pub fn new(a: &Features, b: &Features) -> Result<Self, EvalError> {
        check_dims(a, b)?;
        check_rows(a, "the kernel distance", 2)?;
        check_rows(b, "the kernel distance", 2)?;
        let contributions = |set: &Features, other: &Features| {
            let own = kernel_means(set, set, true);
            own.into_iter().zip(kernel_means(set, other, false)).map(|(own, other)| own - other).collect()
        };
        Ok(Self { of_a: contributions(a, b), of_b: contributions(b, a) })
    }

    /// The distance.
    pub fn value(&self) -> f64 {
        mean(self.of_a.iter()) + mean(self.of_b.iter())
    }

    /// Its interval under other draws of both sets, each with as many rows of each kind, `kinds` (m) and (n).
    ///
    /// Repeated rows would be equal pairs and bias the distance, so its first-order change is resampled: twice that of
    /// the mean contributions (the Hájek projection of a U-statistic of pairs; Hoeffding 1948). Near 0, where second
    /// order counts, the interval is narrow. Errors: as [`Bootstrap::interval_of_kinds`]; not one kind for each row.
    pub fn interval(
        &self,
        (kinds_a, kinds_b): (&[u32], &[u32]),
        bootstrap: Bootstrap,
    ) -> Result<ConfidenceInterval, EvalError> {
        for (kinds, rows) in [(kinds_a, &self.of_a), (kinds_b, &self.of_b)] {
            if kinds.len() != rows.len() {
                return Err(EvalError::Counts { what: "kinds", left: kinds.len(), right: rows.len() });
            }
        }
        let m = kinds_a.len();
        let apart = kinds_a.iter().max().map_or(0, |largest| largest + 1);
        let kinds: Vec<u32> =
            kinds_a.iter().copied().chain(kinds_b.iter().map(|kind| kind + apart)).collect();
        let value = self.value();
        bootstrap.interval_of_kinds(&kinds, |rows| {
            let (a, b) = rows.split_at(m);
            let again = mean(a.iter().map(|&i| &self.of_a[i])) + mean(b.iter().map(|&i| &self.of_b[i - m]));
            Ok(value + 2.0 * (again - value))
        })
    }
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// For each row of `a`, the mean of k(a_i, b_j) over all rows of `b`, or over those with i ≠ j.
fn kernel_means(a: &Features, b: &Features, distinct: bool) -> Vec<f64> {
    let d = a.dims() as f64;
    map_rows(a, b, DotProduct, |i, products| {
        let kernels = products.iter().map(|product| (product / d + 1.0).powi(3));
        let chosen = kernels.enumerate().filter(|&(j, _)| !distinct || i != j);
        chosen.map(|(_, kernel)| kernel).sum::<f64>() / (b.len() - usize::from(distinct)) as f64
    })
}
