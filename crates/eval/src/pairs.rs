//! A number for each pair of rows of two sets, on all cores.

use crate::Features;
use rayon::prelude::*;

/// Rows of the first set that one task takes.
const ROWS: usize = 16;

/// Rows of the second set that are used again while they are in the cache: 64 KiB of 256 features.
const COLUMNS: usize = 64;

/// Features that are summed in f32 before the sum goes on in f64.
const CHUNK: usize = 256;

/// Partial sums of a chunk. Their number is fixed, and no multiplication is fused with an addition,
/// so that every processor gives the same bits.
const LANES: usize = 16;

/// ‖a - b‖² of two rows (d), to about 1e-6 of itself; exactly 0 for equal rows.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// ⟨a, b⟩ of two rows (d), to about 1e-6 of ‖a‖‖b‖.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| a * b)
}

/// Σ_j term(a_j, b_j) of two rows (d).
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(CHUNK).zip(b.chunks(CHUNK)) {
        let mut lanes = [0f32; LANES];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += term(a[lane], b[lane]);
            }
        }
        for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *lane += term(*a, *b);
        }
        total += lanes.iter().copied().map(f64::from).sum::<f64>();
    }
    total
}

/// For each row i of `a` (n, d), in order: what `reduce` makes of i and of the values pair(a_i, b_j)
/// for all rows j of `b` (m, d), which it may rearrange.
///
/// The result of a row depends on nothing but the row and `b`: not on the number of threads.
pub(crate) fn map_rows<R: Send>(
    a: &Features,
    b: &Features,
    pair: impl Fn(&[f32], &[f32]) -> f64 + Sync,
    reduce: impl Fn(usize, &mut [f64]) -> R + Sync,
) -> Vec<R> {
    let m = b.len();
    let block = |start: usize| -> Vec<R> {
        let rows = ROWS.min(a.len() - start);
        let mut values = vec![0.0; rows * m];
        for first in (0..m).step_by(COLUMNS) {
            for (i, values) in values.chunks_exact_mut(m).enumerate() {
                let a = a.row(start + i);
                for (j, value) in values.iter_mut().enumerate().skip(first).take(COLUMNS) {
                    *value = pair(a, b.row(j));
                }
            }
        }
        values.chunks_exact_mut(m).enumerate().map(|(i, values)| reduce(start + i, values)).collect()
    };
    let blocks: Vec<Vec<R>> = (0..a.len().div_ceil(ROWS)).into_par_iter().map(|i| block(i * ROWS)).collect();
    blocks.into_iter().flatten().collect()
}
