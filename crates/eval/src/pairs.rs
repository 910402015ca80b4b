//! Computes a sum for each pair of rows of two sets, on all cores.

use crate::features::Features;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// The number of rows of the first set in one task.
const ROWS: usize = 16;

/// The number of rows of the second set that are used again while they are in the first-level cache: 16 KiB
/// for 256 features.
const COLUMNS: usize = 16;

/// The number of features that are summed in f32 before the sum is added in f64.
const CHUNK: usize = 256;

/// The number of parallel sums of a chunk. An addition takes several cycles, but a new one can begin in
/// each.
const SUMS: usize = 4;

/// The term that is summed over the features of a pair of rows.
pub(crate) trait Term {
    /// sum + term(a, b). The term of two zeros is 0.
    fn add<S: Simd>(simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s;
}

/// (a - b)². The sum has a relative error of about 1e-6, and is exactly 0 for equal rows.
pub(crate) struct SquaredDifference;

impl Term for SquaredDifference {
    #[inline(always)]
    fn add<S: Simd>(simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        let difference = simd.sub_f32s(a, b);
        simd.mul_add_e_f32s(difference, difference, sum)
    }
}

/// a · b. The sum has an error of about 1e-6 times ‖a‖‖b‖.
pub(crate) struct DotProduct;

impl Term for DotProduct {
    #[inline(always)]
    fn add<S: Simd>(simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }
}

/// Calls `reduce` for each row i of `a` (n, d), with i and the sums Σ_k term(a_ik, b_jk) for all rows j of
/// `b` (m, d). `reduce` may rearrange the sums. The results are in the order of i.
///
/// The result of a row depends only on the row and `b`, not on the number of threads. The instruction set
/// is chosen at run time; results on different sets differ by rounding.
pub(crate) fn map_rows<T: Term, R: Send>(
    a: &Features,
    b: &Features,
    _: T,
    reduce: impl Fn(usize, &mut [f64]) -> R + Sync,
) -> Vec<R> {
    let m = b.len();
    let arch = Arch::new();
    let block = |start: usize| -> Vec<R> {
        let mut sums = vec![0.0; ROWS.min(a.len() - start) * m];
        arch.dispatch(BlockSums { a, b, start, sums: &mut sums, term: PhantomData::<T> });
        sums.chunks_exact_mut(m).enumerate().map(|(i, sums)| reduce(start + i, sums)).collect()
    };
    let blocks: Vec<Vec<R>> = (0..a.len().div_ceil(ROWS)).into_par_iter().map(|i| block(i * ROWS)).collect();
    blocks.into_iter().flatten().collect()
}

/// The sums of some rows of `a`, beginning at `start`, with all rows of `b`.
struct BlockSums<'a, T> {
    a: &'a Features,
    b: &'a Features,
    start: usize,
    sums: &'a mut [f64],
    term: PhantomData<T>,
}

impl<T: Term> WithSimd for BlockSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let m = self.b.len();
        for first in (0..m).step_by(COLUMNS) {
            for (i, sums) in self.sums.chunks_exact_mut(m).enumerate() {
                let a = self.a.row(self.start + i);
                for (j, sum) in sums.iter_mut().enumerate().skip(first).take(COLUMNS) {
                    *sum = of_pair::<S, T>(simd, a, self.b.row(j));
                }
            }
        }
    }
}

/// Σ_k term(a_k, b_k) of two rows (d).
#[inline(always)]
fn of_pair<S: Simd, T: Term>(simd: S, a: &[f32], b: &[f32]) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(CHUNK).zip(b.chunks(CHUNK)) {
        let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
        let ((a, a_last), (b, b_last)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for (a, b) in a.iter().zip(b) {
            for k in 0..SUMS {
                sums[k] = T::add(simd, sums[k], a[k], b[k]);
            }
        }
        for (a, b) in a_last.iter().zip(b_last) {
            sums[0] = T::add(simd, sums[0], *a, *b);
        }
        let rest = (simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest));
        sums[1] = T::add(simd, sums[1], rest.0, rest.1);
        let pairs = (simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
        total += f64::from(simd.reduce_sum_f32s(simd.add_f32s(pairs.0, pairs.1)));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_random::Draws;

    #[test]
    fn the_portable_instructions_agree_with_the_widest() {
        for dims in [1, 17, 256, 300] {
            let mut values = vec![0f32; 20 * dims];
            Draws::new(0, "features", 0).fill_normal(&mut values);
            let set = Features::new(values, dims).unwrap();
            let mut sums = vec![0.0; ROWS * set.len()];
            let term = PhantomData::<SquaredDifference>;
            pulp::Scalar.vectorize(BlockSums { a: &set, b: &set, start: 0, sums: &mut sums, term });
            let widest = map_rows(&set, &set, SquaredDifference, |_, sums| sums.to_vec());
            for (portable, widest) in sums.iter().zip(widest.into_iter().flatten()) {
                assert!((portable - widest).abs() <= 1e-6 * widest, "{dims}: {portable} {widest}");
            }
        }
    }
}
