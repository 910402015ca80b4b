//! Scaled dot-product attention of one image's tokens, and its gradient, one head at a time.
//!
//! The whole matrix of probabilities never exists. Only blocks of queries by keys are computed. In the
//! forward pass, a row's sums are relative to its largest score so far; a later block with a larger score
//! scales them down (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"; Rabe & Staats
//! 2021, "Self-attention does not need O(n²) memory"). The backward pass computes each block's
//! probabilities again, from its scores and from the row's largest score and sum. The softmax's gradient
//! needs the mean Σ p · ∂p, which is ⟨gradient, output⟩ (Dao et al. 2022, "FlashAttention").

use super::softmax::{Exponentials, Probabilities, ScoreBlock, ScoreGradients};
use crate::buffer::Buffer;
use crate::product::{Matrix, Product, StartValues};
use crate::profile;
use crate::simd::dispatch;
use std::ops::Range;

/// Sizes of an attention: q, k and v are (tokens, heads · width) for each image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionSizes {
    pub tokens: usize,
    pub heads: usize,
    pub width: usize,
}

/// The largest number of queries, and of keys, in a block. Two blocks with their tokens fit into the
/// second-level cache.
const QUERIES: usize = 96;
const KEYS: usize = 256;

/// Cuts `count` tokens into equal blocks of at most `most`.
fn blocks(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let size = count.div_ceil(count.div_ceil(most).max(1)).max(1);
    (0..count).step_by(size).map(move |first| first..count.min(first + size))
}

/// The distance between a block's rows: an odd number of cache lines. With an even number, the rows would
/// compete for few places of the cache.
fn stride(keys: usize) -> usize {
    (keys.div_ceil(16) | 1) * 16
}

/// A head of an image among its heads: (tokens, width) whose rows begin `row` values apart.
#[derive(Clone, Copy)]
struct Head<'a> {
    values: &'a [f32],
    row: usize,
}

impl<'a> Head<'a> {
    fn from(&self, token: usize) -> &'a [f32] {
        &self.values[token * self.row..]
    }

    fn rows(&self, token: usize) -> Matrix<'a> {
        Matrix::rows(self.from(token), self.row)
    }
}

/// The values of a head's rows for the backward pass: their largest scores and their sums of exponentials.
struct SoftmaxSums<'a> {
    largest: &'a mut [f32],
    sums: &'a mut [f32],
}

impl AttentionSizes {
    fn row(&self) -> usize {
        self.heads * self.width
    }

    /// Values of one image's q, k or v.
    pub fn image(&self) -> usize {
        self.tokens * self.row()
    }

    /// The number of values that the backward pass needs of each image besides inputs and outputs.
    pub fn sums(&self) -> usize {
        2 * self.tokens * self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    fn keys(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        blocks(self.tokens, KEYS)
    }

    /// Values of a block of scores.
    fn block(&self) -> usize {
        self.tokens.min(QUERIES) * stride(self.tokens.min(KEYS))
    }

    /// Values of a head in the order of `turn`.
    fn turned(&self) -> usize {
        self.keys().map(|keys| self.width * stride(keys.len())).sum()
    }

    /// Each block of a head's keys as (width, keys).
    fn turn(&self, head: Head, out: &mut [f32]) {
        let mut out = out;
        for keys in self.keys() {
            let stride = stride(keys.len());
            let (block, rest) = out.split_at_mut(self.width * stride);
            for (i, token) in keys.enumerate() {
                let values = &head.from(token)[..self.width];
                values.iter().enumerate().for_each(|(c, &value)| block[c * stride + i] = value);
            }
            out = rest;
        }
    }

    /// out (queries, keys) = left (queries, width) · a block of `turn`.
    fn scores(&self, (queries, keys): (usize, usize), left: Matrix, turned: &[f32], out: &mut [f32]) {
        let stride = stride(keys);
        product((queries, keys, self.width), left, (turned, stride), (out, stride), StartValues::Zero);
    }

    /// For each head of each image, in order: the range of its values, and its index among all heads.
    fn heads(&self, values: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (image, heads, width) = (self.image(), self.heads, self.width);
        (0..values.checked_div(image).unwrap_or(0) * heads).map(move |i| {
            let first = i / heads * image;
            (first + i % heads * width..first + image, i)
        })
    }

    /// out = softmax(q kᵀ / √width) v, for each image and head. Writes `sums` for the backward pass.
    pub fn forward(&self, [q, k, v]: [&[f32]; 3], out: &mut [f32], sums: &mut [f32]) {
        assert!(q.len() == k.len() && k.len() == v.len() && v.len() == out.len());
        let (n, row) = (self.tokens, self.row());
        let mut turned = Buffer::scratch(self.turned());
        let mut block = Buffer::scratch(self.block());
        for (at, i) in self.heads(out.len()) {
            let head = |values| Head { values, row };
            let (largest, sums) = sums[2 * n * i..][..2 * n].split_at_mut(n);
            self.turn(head(&k[at.clone()]), &mut turned);
            let inputs = (head(&q[at.clone()]), &*turned, head(&v[at.clone()]));
            self.forward_head(inputs, &mut out[at], SoftmaxSums { largest, sums }, &mut block);
        }
    }

    fn forward_head(
        &self,
        (q, turned_k, v): (Head, &[f32], Head),
        out: &mut [f32],
        all: SoftmaxSums,
        block: &mut [f32],
    ) {
        let row = q.row;
        let mut factors = [0f32; QUERIES];
        for queries in blocks(self.tokens, QUERIES) {
            let (m, mut turned_k) = (queries.len(), turned_k);
            let out = &mut out[queries.start * row..];
            let (largest, sums) = (&mut all.largest[queries.clone()], &mut all.sums[queries.clone()]);
            let factors = &mut factors[..m];
            largest.fill(f32::NEG_INFINITY);
            sums.fill(0.0);
            for keys in self.keys() {
                let (n, stride) = (keys.len(), stride(keys.len()));
                let block = &mut block[..m * stride];
                self.scores((m, n), q.rows(queries.start), turned_k, block);
                let scores = ScoreBlock { values: block, stride, keys: n };
                dispatch(Exponentials { block: scores, scale: self.scale(), largest, sums, factors });
                let start = if keys.start == 0 { StartValues::Zero } else { StartValues::Out };
                if keys.start > 0 {
                    self.scale_rows(out, row, factors);
                }
                let p = Matrix::rows(block, stride);
                product((m, self.width, n), p, (v.from(keys.start), row), (out, row), start);
                turned_k = &turned_k[self.width * stride..];
            }
            factors.iter_mut().zip(&*sums).for_each(|(factor, sum)| *factor = 1.0 / sum);
            self.scale_rows(out, row, factors);
        }
    }

    fn scale_rows(&self, rows: &mut [f32], row: usize, factors: &[f32]) {
        dispatch(|| {
            for (values, factor) in rows.chunks_mut(row).zip(factors) {
                values[..self.width].iter_mut().for_each(|value| *value *= factor);
            }
        });
    }

    /// Writes the gradients of q, k and v from the inputs, the output and the sums of `forward`.
    pub fn backward(
        &self,
        [q, k, v]: [&[f32]; 3],
        (out, sums): (&[f32], &[f32]),
        grad: &[f32],
        [grad_q, grad_k, grad_v]: [&mut [f32]; 3],
    ) {
        assert!(q.len() == k.len() && k.len() == v.len() && v.len() == grad.len() && out.len() == grad.len());
        assert!(grad_q.len() == q.len() && grad_k.len() == q.len() && grad_v.len() == q.len());
        let (n, row) = (self.tokens, self.row());
        let [mut turned_k, mut turned_v] = [(); 2].map(|()| Buffer::scratch(self.turned()));
        let [mut p, mut grad_p] = [(); 2].map(|()| Buffer::scratch(self.block()));
        let mut means = Buffer::scratch(n);
        for (at, i) in self.heads(grad.len()) {
            let head = |values| Head { values, row };
            let (largest, sums) = sums[2 * n * i..][..2 * n].split_at(n);
            self.turn(head(&k[at.clone()]), &mut turned_k);
            self.turn(head(&v[at.clone()]), &mut turned_v);
            self.means(&grad[at.clone()], &out[at.clone()], &mut means);
            let back = Back {
                attention: *self,
                q: head(&q[at.clone()]),
                k: head(&k[at.clone()]),
                grad: head(&grad[at.clone()]),
                turned_k: &turned_k,
                turned_v: &turned_v,
                largest,
                sums,
                means: &means,
            };
            let grads = [&mut grad_q[at.clone()], &mut grad_k[at.clone()], &mut grad_v[at]];
            back.head(grads, [&mut p, &mut grad_p]);
        }
    }

    /// Σ p · ∂p of each row, which is ⟨gradient, output⟩.
    fn means(&self, grad: &[f32], out: &[f32], means: &mut [f32]) {
        let row = self.row();
        dispatch(|| {
            for ((grad, out), mean) in grad.chunks(row).zip(out.chunks(row)).zip(means) {
                *mean = dot(&grad[..self.width], &out[..self.width]);
            }
        });
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        lanes.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    lanes.iter().sum()
}

/// The backward pass through one head.
struct Back<'a> {
    attention: AttentionSizes,
    q: Head<'a>,
    k: Head<'a>,
    grad: Head<'a>,
    turned_k: &'a [f32],
    turned_v: &'a [f32],
    largest: &'a [f32],
    sums: &'a [f32],
    means: &'a [f32],
}

impl Back<'_> {
    fn head(&self, [grad_q, grad_k, grad_v]: [&mut [f32]; 3], [p, grad_p]: [&mut [f32]; 2]) {
        let Self { attention, q, k, grad, .. } = self;
        let (width, row) = (attention.width, q.row);
        for queries in blocks(attention.tokens, QUERIES) {
            let (m, first) = (queries.len(), queries.start);
            let mut turned = 0;
            for keys in attention.keys() {
                let (n, stride) = (keys.len(), stride(keys.len()));
                let (p, grad_p) = (&mut p[..m * stride], &mut grad_p[..m * stride]);
                self.scores_and_gradients(queries.clone(), n, turned, [p, grad_p]);
                let [p, grad_p] = [p, grad_p].map(|block| Matrix::rows(block, stride));
                let start = |first| if first == 0 { StartValues::Zero } else { StartValues::Out };
                let at = keys.start * row;
                // ∂v += pᵀ ∂out, ∂k += ∂scoresᵀ q.
                for (left, right, out) in [(p, grad, &mut *grad_v), (grad_p, q, &mut *grad_k)] {
                    let (right, out) = ((right.from(first), row), (&mut out[at..], row));
                    product((n, width, m), left.transposed(), right, out, start(first));
                }
                let out = (&mut grad_q[first * row..], row);
                product((m, width, n), grad_p, (k.from(keys.start), row), out, start(keys.start));
                turned += width * stride;
            }
        }
    }

    /// The probabilities of one block and the gradient of its scores.
    fn scores_and_gradients(
        &self,
        queries: Range<usize>,
        keys: usize,
        turned: usize,
        [p, grad_scores]: [&mut [f32]; 2],
    ) {
        let Self { attention, q, grad, largest, sums, means, .. } = self;
        let (stride, sizes, scale) = (stride(keys), (queries.len(), keys), attention.scale());
        attention.scores(sizes, q.rows(queries.start), &self.turned_k[turned..], p);
        let (largest, sums) = (&largest[queries.clone()], &sums[queries.clone()]);
        dispatch(Probabilities { block: ScoreBlock { values: p, stride, keys }, scale, largest, sums });
        attention.scores(sizes, grad.rows(queries.start), &self.turned_v[turned..], grad_scores);
        let means = &means[queries];
        let block = ScoreBlock { values: grad_scores, stride, keys };
        dispatch(ScoreGradients { block, probabilities: p, means, scale });
    }
}

fn product(
    sizes: (usize, usize, usize),
    left: Matrix,
    (right, right_row): (&[f32], usize),
    (out, out_row): (&mut [f32], usize),
    start: StartValues,
) {
    let (m, n, k) = sizes;
    let _span = profile::products(m * n * k, m * n + k * (m + n));
    dispatch(Product { sizes, left, right, right_row, next_right: &[], out, out_row, start });
}
