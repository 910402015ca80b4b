//! Convolution as products over unfolded patches: any kernel, stride and padding.
//!
//! The patches of a few output rows are unfolded into a (pixels, kh·kw·C) matrix that stays in
//! cache, then multiplied with the (kh·kw·C, O) weights. A kernel of one pixel needs no unfolding.

use crate::buffer::Buffer;
use crate::product::{Matrix, Product, Start};
use crate::simd::dispatch;
use crate::sizes::{Epilogue, Sizes};

/// The weights (O, C, kh, kw) in the two forms that products need.
pub(crate) struct Weights {
    /// (kh·kw·C, O)
    forward: Buffer,
    /// (O, kh·kw·C)
    backward: Buffer,
}

impl Weights {
    pub fn new(weight: &[f32], outputs: usize, channels: usize, taps: usize) -> Self {
        let mut forward = Buffer::scratch(weight.len());
        let mut backward = Buffer::scratch(weight.len());
        for o in 0..outputs {
            for c in 0..channels {
                for tap in 0..taps {
                    let w = weight[(o * channels + c) * taps + tap];
                    forward[(tap * channels + c) * outputs + o] = w;
                    backward[(o * taps + tap) * channels + c] = w;
                }
            }
        }
        Self { forward, backward }
    }
}

/// Adds products' gradients (kh·kw·C, O) to those of the weights (O, C, kh, kw).
pub(crate) fn add_weight_gradient(
    products: &[f32],
    outputs: usize,
    channels: usize,
    taps: usize,
    grad: &mut [f32],
) {
    for o in 0..outputs {
        for c in 0..channels {
            for tap in 0..taps {
                grad[(o * channels + c) * taps + tap] += products[(tap * channels + c) * outputs + o];
            }
        }
    }
}

/// Output rows a tile, so that its patches fill about 128 KiB.
fn tile_rows(sizes: &Sizes) -> usize {
    let (height, width) = sizes.out();
    (32_768 / (sizes.taps() * sizes.channels * width).max(1)).clamp(1, height.max(1))
}

/// The tiles as (first output row, number of rows).
fn tiles(sizes: &Sizes) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, height) = (tile_rows(sizes), sizes.out().0);
    (0..height).step_by(rows).map(move |first| (first, rows.min(height - first)))
}

/// For an output row and kernel row: the image's row, if it is not padding.
fn source_row(sizes: &Sizes, i: usize, u: usize) -> Option<usize> {
    (i * sizes.stride + u).checked_sub(sizes.padding.top).filter(|&y| y < sizes.height)
}

/// For an output column: the kernel columns that lie inside the image, and the first one's column.
fn source_columns(sizes: &Sizes, j: usize) -> (usize, usize, usize) {
    let (x, left) = (j * sizes.stride, sizes.padding.left);
    let first = left.saturating_sub(x).min(sizes.kernel.1);
    let last = (sizes.width + left).saturating_sub(x).clamp(first, sizes.kernel.1);
    (first, last, (x + first).saturating_sub(left))
}

/// The patches (pixels, kh·kw·C) of a tile.
fn unfold(sizes: &Sizes, image: &[f32], (first, rows): (usize, usize), patches: &mut [f32]) {
    let (c, (kh, kw), width) = (sizes.channels, sizes.kernel, sizes.out().1);
    for (pixel, patch) in patches.chunks_exact_mut(kh * kw * c).take(rows * width).enumerate() {
        let (begin, end, x) = source_columns(sizes, pixel % width);
        for (u, row) in patch.chunks_exact_mut(kw * c).enumerate() {
            match source_row(sizes, first + pixel / width, u).filter(|_| begin < end) {
                Some(y) => {
                    row[..begin * c].fill(0.0);
                    row[end * c..].fill(0.0);
                    let from = (y * sizes.width + x) * c;
                    row[begin * c..end * c].copy_from_slice(&image[from..from + (end - begin) * c]);
                }
                None => row.fill(0.0),
            }
        }
    }
}

/// Adds patches back to where they were unfolded from.
fn fold(sizes: &Sizes, patches: &[f32], (first, rows): (usize, usize), image: &mut [f32]) {
    let (c, (kh, kw), width) = (sizes.channels, sizes.kernel, sizes.out().1);
    for (pixel, patch) in patches.chunks_exact(kh * kw * c).take(rows * width).enumerate() {
        let (begin, end, x) = source_columns(sizes, pixel % width);
        for (u, row) in patch.chunks_exact(kw * c).enumerate() {
            if let Some(y) = source_row(sizes, first + pixel / width, u).filter(|_| begin < end) {
                let from = (y * sizes.width + x) * c;
                let pixels = &mut image[from..from + (end - begin) * c];
                pixels.iter_mut().zip(&row[begin * c..end * c]).for_each(|(pixel, patch)| *pixel += patch);
            }
        }
    }
}

/// y = conv(x, w), with what the epilogue adds.
pub(crate) fn forward(
    sizes: &Sizes,
    batch: usize,
    x: &[f32],
    weights: &Weights,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let (depth, outputs, width) = (sizes.taps() * sizes.channels, sizes.outputs, sizes.out().1);
    epilogue.check(batch, y.len(), outputs);
    if epilogue.residual.is_some() {
        epilogue.start(batch, sizes, y);
    }
    let mut patches = scratch(sizes);
    let images = y.chunks_mut(sizes.out_image().max(1)).zip(x.chunks(sizes.image().max(1)));
    for (image, (y, x)) in images.enumerate() {
        let start = match epilogue.residual {
            Some(_) => Start::Out,
            None => Start::Row(epilogue.bias_of(image, outputs)),
        };
        for (first, rows) in tiles(sizes) {
            let left = match sizes.is_pointwise() {
                true => &x[first * width * depth..],
                false => {
                    unfold(sizes, x, (first, rows), &mut patches);
                    &patches[..]
                }
            };
            dispatch(Product {
                sizes: (rows * width, outputs, depth),
                left: Matrix::rows(left, depth),
                right: &weights.forward,
                right_row: outputs,
                out: &mut y[first * width * outputs..],
                out_row: outputs,
                start,
            });
        }
    }
    epilogue.finish(y);
}

fn scratch(sizes: &Sizes) -> Buffer {
    let pixels = tile_rows(sizes) * sizes.out().1;
    Buffer::scratch(if sizes.is_pointwise() { 0 } else { pixels * sizes.taps() * sizes.channels })
}

/// Adds the gradient to x's.
pub(crate) fn backward_input(sizes: &Sizes, grad: &[f32], weights: &Weights, grad_x: &mut [f32]) {
    let (depth, outputs, width) = (sizes.taps() * sizes.channels, sizes.outputs, sizes.out().1);
    let mut patches = scratch(sizes);
    for (grad_x, grad) in grad_x.chunks_mut(sizes.image().max(1)).zip(grad.chunks(sizes.out_image().max(1))) {
        for (first, rows) in tiles(sizes) {
            let pointwise = sizes.is_pointwise();
            let out = if pointwise { &mut grad_x[first * width * depth..] } else { &mut patches[..] };
            dispatch(Product {
                sizes: (rows * width, depth, outputs),
                left: Matrix::rows(&grad[first * width * outputs..], outputs),
                right: &weights.backward,
                right_row: depth,
                out,
                out_row: depth,
                start: if pointwise { Start::Out } else { Start::Zero },
            });
            if !pointwise {
                fold(sizes, &patches, (first, rows), grad_x);
            }
        }
    }
}

/// Adds to the gradient of the products' weights (kh·kw·C, O).
pub(crate) fn backward_weights(sizes: &Sizes, x: &[f32], grad: &[f32], products: &mut [f32]) {
    let (depth, outputs, width) = (sizes.taps() * sizes.channels, sizes.outputs, sizes.out().1);
    let mut patches = scratch(sizes);
    for (x, grad) in x.chunks(sizes.image().max(1)).zip(grad.chunks(sizes.out_image().max(1))) {
        for (first, rows) in tiles(sizes) {
            let left = match sizes.is_pointwise() {
                true => &x[first * width * depth..],
                false => {
                    unfold(sizes, x, (first, rows), &mut patches);
                    &patches[..]
                }
            };
            dispatch(Product {
                sizes: (depth, outputs, rows * width),
                left: Matrix::rows(left, depth).transposed(),
                right: &grad[first * width * outputs..],
                right_row: outputs,
                out: products,
                out_row: outputs,
                start: Start::Out,
            });
        }
    }
}
