//! Scaled dot-product attention of one image's tokens, and its gradient, a head at a time.

use crate::buffer::Buffer;
use crate::product::{Matrix, Product, Start};
use crate::simd::dispatch;

/// Sizes of an attention: q, k and v are (tokens, heads · width) for each image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub tokens: usize,
    pub heads: usize,
    pub width: usize,
}

impl Attention {
    fn row(&self) -> usize {
        self.heads * self.width
    }

    /// Values of one image's q, k or v.
    pub fn image(&self) -> usize {
        self.tokens * self.row()
    }

    fn product(
        &self,
        sizes: (usize, usize, usize),
        left: Matrix,
        right: (&[f32], usize),
        out: (&mut [f32], usize),
    ) {
        dispatch(Product {
            sizes,
            left,
            right: right.0,
            right_row: right.1,
            out: out.0,
            out_row: out.1,
            start: Start::Zero,
        });
    }

    /// (width, tokens) of one head's (tokens, width).
    fn transposed(&self, head: &[f32], out: &mut [f32]) {
        for (token, values) in head.chunks(self.row()).enumerate() {
            values[..self.width].iter().enumerate().for_each(|(i, &v)| out[i * self.tokens + token] = v);
        }
    }

    /// softmax(q kᵀ / √width), (tokens, tokens), of one head.
    fn probabilities(&self, q: &[f32], k: &[f32], turned: &mut [f32], out: &mut [f32]) {
        let (n, row) = (self.tokens, self.row());
        self.transposed(k, turned);
        self.product((n, n, self.width), Matrix::rows(q, row), (turned, n), (out, n));
        let scale = 1.0 / (self.width as f32).sqrt();
        for row in out.chunks_exact_mut(n) {
            let largest = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
            row.iter_mut().for_each(|v| *v = ((*v - largest) * scale).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|v| *v /= sum);
        }
    }

    /// out = softmax(q kᵀ / √width) v, for each image and head.
    pub fn forward(&self, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) {
        assert!(q.len() == k.len() && k.len() == v.len() && v.len() == out.len());
        let (n, row) = (self.tokens, self.row());
        let mut turned = Buffer::scratch(n * self.width);
        let mut p = Buffer::scratch(n * n);
        for image in (0..out.len()).step_by(self.image().max(1)) {
            for head in (0..row).step_by(self.width) {
                let at = image + head;
                self.probabilities(
                    &q[at..image + self.image()],
                    &k[at..image + self.image()],
                    &mut turned,
                    &mut p,
                );
                self.product((n, self.width, n), Matrix::rows(&p, n), (&v[at..], row), (&mut out[at..], row));
            }
        }
    }

    /// Writes the gradients of q, k and v. The probabilities are computed again.
    pub fn backward(&self, [q, k, v]: [&[f32]; 3], grad: &[f32], [grad_q, grad_k, grad_v]: [&mut [f32]; 3]) {
        assert!(q.len() == k.len() && k.len() == v.len() && v.len() == grad.len());
        assert!(grad_q.len() == q.len() && grad_k.len() == q.len() && grad_v.len() == q.len());
        let (n, row, width) = (self.tokens, self.row(), self.width);
        let scale = 1.0 / (width as f32).sqrt();
        let mut turned = Buffer::scratch(n * width);
        let mut p = Buffer::scratch(n * n);
        let mut grad_p = Buffer::scratch(n * n);
        for image in (0..grad.len()).step_by(self.image().max(1)) {
            for head in (0..row).step_by(width) {
                let at = image + head;
                let rows = at..image + self.image();
                self.probabilities(&q[rows.clone()], &k[rows.clone()], &mut turned, &mut p);
                let p_turned = Matrix::rows(&p, n).transposed();
                self.product((n, width, n), p_turned, (&grad[at..], row), (&mut grad_v[at..], row));
                self.transposed(&v[rows.clone()], &mut turned);
                self.product((n, n, width), Matrix::rows(&grad[at..], row), (&turned, n), (&mut grad_p, n));
                // Through the softmax: p · (g - Σ g p), and the scale.
                for (p, grad_p) in p.chunks_exact(n).zip(grad_p.chunks_exact_mut(n)) {
                    let mean: f32 = p.iter().zip(grad_p.iter()).map(|(p, g)| p * g).sum();
                    p.iter().zip(grad_p).for_each(|(p, g)| *g = p * (*g - mean) * scale);
                }
                let scores = Matrix::rows(&grad_p, n);
                self.product((n, width, n), scores, (&k[at..], row), (&mut grad_q[at..], row));
                self.product((n, width, n), scores.transposed(), (&q[at..], row), (&mut grad_k[at..], row));
            }
        }
    }
}
