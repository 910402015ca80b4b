//! Turns rows of a block of scores into exponentials and gradients.

use crate::elementwise::passes::exp;
use crate::simd::{for_each_register, load, store};
use pulp::{Simd, WithSimd};

/// A block of values (queries, keys) whose rows begin `stride` values apart.
pub(crate) struct ScoreBlock<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub keys: usize,
}

impl ScoreBlock<'_> {
    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_mut(self.stride).map(|row| &mut row[..self.keys])
    }
}

/// The exponentials of a block of scores s, relative to the largest score of the row so far:
/// e^((s - largest) · scale).
pub(crate) struct Exponentials<'a> {
    pub block: ScoreBlock<'a>,
    pub scale: f32,
    /// The largest score of each row so far, -∞ before the first block.
    pub largest: &'a mut [f32],
    /// Σ of each row's exponentials so far, relative to `largest`.
    pub sums: &'a mut [f32],
    /// The factors for the earlier sums, because `largest` has grown.
    pub factors: &'a mut [f32],
}

impl WithSimd for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) {
        let rows = self.block.rows().zip(self.largest).zip(self.sums).zip(self.factors);
        for (((row, largest), sum), factor) in rows {
            let before = *largest;
            *largest = before.max(greatest(s, row));
            *factor = ((before - *largest) * self.scale).exp();
            *sum = *sum * *factor + exponentials(s, row, *largest, self.scale, 1.0);
        }
    }
}

/// The probabilities of a block of scores s: e^((s - largest) · scale) / sum.
pub(crate) struct Probabilities<'a> {
    pub block: ScoreBlock<'a>,
    pub scale: f32,
    pub largest: &'a [f32],
    pub sums: &'a [f32],
}

impl WithSimd for Probabilities<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) {
        for ((row, &largest), &sum) in self.block.rows().zip(self.largest).zip(self.sums) {
            exponentials(s, row, largest, self.scale, 1.0 / sum);
        }
    }
}

/// Turns the gradient of the probabilities p into the gradient of the scores, in place: p · (gradient -
/// mean) · scale. A row's mean is Σ p · gradient over all of its keys.
pub(crate) struct ScoreGradients<'a> {
    pub block: ScoreBlock<'a>,
    pub probabilities: &'a [f32],
    pub means: &'a [f32],
    pub scale: f32,
}

impl WithSimd for ScoreGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, s: S) {
        let stride = self.block.stride;
        let scale = s.splat_f32s(self.scale);
        for ((row, p), &mean) in self.block.rows().zip(self.probabilities.chunks(stride)).zip(self.means) {
            let (mean, p) = (s.splat_f32s(mean), &p[..row.len()]);
            for_each_register!(row.len(), |first, lanes| {
                // SAFETY: both rows have so many values from `first` on.
                #[allow(unsafe_code)]
                unsafe {
                    let to = row.as_mut_ptr().add(first);
                    let grad = s.sub_f32s(load(s, to, lanes), mean);
                    let p = load(s, p.as_ptr().add(first), lanes);
                    store(s, to, lanes, s.mul_f32s(s.mul_f32s(p, grad), scale));
                }
            });
        }
    }
}

/// The largest value of a row. It may skip a NaN, because the exponential of a NaN is NaN anyway.
#[inline(always)]
fn greatest<S: Simd>(s: S, row: &[f32]) -> f32 {
    let (whole, rest) = S::as_simd_f32s(row);
    let largest = rest.iter().fold(f32::NEG_INFINITY, |largest, &value| largest.max(value));
    let mut lanes = s.splat_f32s(largest);
    for &values in whole {
        lanes = s.max_f32s(lanes, values);
    }
    s.reduce_max_f32s(lanes)
}

/// row = e^((row - largest) · scale) · factor; returns the row's sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &mut [f32], largest: f32, scale: f32, factor: f32) -> f32 {
    let constants = [s.splat_f32s(largest), s.splat_f32s(scale), s.splat_f32s(factor)];
    let (whole, rest) = S::as_mut_simd_f32s(row);
    let mut sum = s.splat_f32s(0.0);
    for scores in whole {
        *scores = exponential(s, *scores, constants);
        sum = s.add_f32s(sum, *scores);
    }
    s.partial_store_f32s(rest, exponential(s, s.partial_load_f32s(rest), constants));
    // Load the rest again, because lanes behind the end of the row must be zero.
    s.reduce_sum_f32s(s.add_f32s(sum, s.partial_load_f32s(rest)))
}

#[inline(always)]
fn exponential<S: Simd>(s: S, score: S::f32s, [largest, scale, factor]: [S::f32s; 3]) -> S::f32s {
    s.mul_f32s(exp(s, s.mul_f32s(s.sub_f32s(score, largest), scale)), factor)
}
