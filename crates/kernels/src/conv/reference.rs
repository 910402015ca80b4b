//! The same operations as plain loops in f64. Tests compare the kernels with them.

use crate::candle::Conv2d;
use crate::conv::sizes::Padding;

/// Sizes of a naive convolution: x (batch, channels, height, width), w (outputs, channels, kh, kw).
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ConvShape {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub kernel: (usize, usize),
    pub options: Conv2d,
}

impl ConvShape {
    /// Height and width of the output.
    pub fn out(&self) -> (usize, usize) {
        let Padding { top, bottom, left, right } = self.options.padding;
        let along = |side: usize, kernel: usize| (side - kernel) / self.options.stride + 1;
        (along(self.height + top + bottom, self.kernel.0), along(self.width + left + right, self.kernel.1))
    }

    /// Calls `term` with the indices into (x, w, y) for every product of the convolution.
    pub fn for_each_term(&self, mut term: impl FnMut(usize, usize, usize)) {
        let ((out_h, out_w), (kh, kw), stride) = (self.out(), self.kernel, self.options.stride);
        for b in 0..self.batch {
            for o in 0..self.outputs {
                for i in 0..out_h {
                    for j in 0..out_w {
                        let y = ((b * self.outputs + o) * out_h + i) * out_w + j;
                        for c in 0..self.channels {
                            for u in 0..kh {
                                for v in 0..kw {
                                    let row = (i * stride + u).checked_sub(self.options.padding.top);
                                    let column = (j * stride + v).checked_sub(self.options.padding.left);
                                    let (Some(row), Some(column)) = (row, column) else {
                                        continue;
                                    };
                                    if row < self.height && column < self.width {
                                        let x = ((b * self.channels + c) * self.height + row) * self.width
                                            + column;
                                        term(x, ((o * self.channels + c) * kh + u) * kw + v, y);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// y = conv(x, w) without bias.
pub fn conv2d(shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let (out_h, out_w) = shape.out();
    let mut y = vec![0f64; shape.batch * shape.outputs * out_h * out_w];
    shape.for_each_term(|ix, iw, iy| y[iy] += f64::from(x[ix]) * f64::from(w[iw]));
    y
}

/// The gradients of ⟨conv(x, w), grad⟩ with respect to x and w.
pub fn conv2d_gradients(shape: &ConvShape, x: &[f32], w: &[f32], grad: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let (mut grad_x, mut grad_w) = (vec![0f64; x.len()], vec![0f64; w.len()]);
    shape.for_each_term(|ix, iw, iy| {
        grad_x[ix] += f64::from(grad[iy]) * f64::from(w[iw]);
        grad_w[iw] += f64::from(grad[iy]) * f64::from(x[ix]);
    });
    (grad_x, grad_w)
}

/// Sizes and settings of a naive group normalisation of x (batch, pixels, channels).
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct NormShape {
    pub batch: usize,
    pub pixels: usize,
    pub channels: usize,
    pub groups: usize,
    pub eps: f64,
    pub silu: bool,
}

/// y = f(((x - μ)/√(σ² + eps) · weight + bias) · (1 + scale) + shift). The modulation (batch, 2·C) holds
/// the scale and shift of each image. f is SiLU or nothing.
pub fn group_norm(
    shape: &NormShape,
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
    modulation: Option<&[f64]>,
) -> Vec<f64> {
    let NormShape { batch, pixels, channels, groups, eps, silu } = *shape;
    let width = channels / groups;
    let mut y = vec![0f64; x.len()];
    for b in 0..batch {
        for group in 0..groups {
            let indices = || {
                (0..pixels).flat_map(move |p| {
                    (group * width..(group + 1) * width).map(move |c| ((b * pixels + p) * channels + c, c))
                })
            };
            let n = (pixels * width) as f64;
            let mean = indices().map(|(i, _)| x[i]).sum::<f64>() / n;
            let variance = indices().map(|(i, _)| (x[i] - mean).powi(2)).sum::<f64>() / n;
            for (i, c) in indices() {
                let mut z = (x[i] - mean) / (variance + eps).sqrt() * weight[c] + bias[c];
                if let Some(modulation) = modulation {
                    let row = &modulation[b * 2 * channels..];
                    z = z * (1.0 + row[c]) + row[channels + c];
                }
                y[i] = if silu { z / (1.0 + (-z).exp()) } else { z };
            }
        }
    }
    y
}

/// softmax(q kᵀ / √width) v of each image and head; q, k and v are (batch, tokens, heads · width).
pub fn attention(
    (batch, tokens, heads, width): (usize, usize, usize, usize),
    q: &[f64],
    k: &[f64],
    v: &[f64],
) -> Vec<f64> {
    let at =
        |b: usize, token: usize, head: usize, i: usize| ((b * tokens + token) * heads + head) * width + i;
    let mut y = vec![0f64; q.len()];
    for b in 0..batch {
        for head in 0..heads {
            for i in 0..tokens {
                let score = |j: usize| {
                    let dot: f64 = (0..width).map(|d| q[at(b, i, head, d)] * k[at(b, j, head, d)]).sum();
                    (dot / (width as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = (0..tokens).map(score).collect();
                let sum: f64 = scores.iter().sum();
                for (j, score) in scores.iter().enumerate() {
                    for d in 0..width {
                        y[at(b, i, head, d)] += score / sum * v[at(b, j, head, d)];
                    }
                }
            }
        }
    }
    y
}

/// The gradients of q, k and v in `attention`, from the gradient of its result.
pub fn attention_gradients(
    (batch, tokens, heads, width): (usize, usize, usize, usize),
    [q, k, v]: [&[f64]; 3],
    grad: &[f64],
) -> [Vec<f64>; 3] {
    let at =
        |b: usize, token: usize, head: usize, i: usize| ((b * tokens + token) * heads + head) * width + i;
    let scale = 1.0 / (width as f64).sqrt();
    let mut grads = [(); 3].map(|()| vec![0f64; q.len()]);
    let [grad_q, grad_k, grad_v] = &mut grads;
    for b in 0..batch {
        for head in 0..heads {
            for i in 0..tokens {
                let dot = |x: &[f64], y: &[f64], j: usize| -> f64 {
                    (0..width).map(|d| x[at(b, i, head, d)] * y[at(b, j, head, d)]).sum()
                };
                let exps: Vec<f64> = (0..tokens).map(|j| (dot(q, k, j) * scale).exp()).collect();
                let sum: f64 = exps.iter().sum();
                let grad_p: Vec<f64> = (0..tokens).map(|j| dot(grad, v, j)).collect();
                let mean = exps.iter().zip(&grad_p).map(|(e, g)| e / sum * g).sum::<f64>();
                for j in 0..tokens {
                    let p = exps[j] / sum;
                    let grad_score = p * (grad_p[j] - mean) * scale;
                    for d in 0..width {
                        grad_v[at(b, j, head, d)] += p * grad[at(b, i, head, d)];
                        grad_q[at(b, i, head, d)] += grad_score * k[at(b, j, head, d)];
                        grad_k[at(b, j, head, d)] += grad_score * q[at(b, i, head, d)];
                    }
                }
            }
        }
    }
    grads
}
