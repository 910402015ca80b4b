//! Convolution as products over unfolded patches: any kernel, stride and padding.
//!
//! The patches of a few output rows are unfolded into a (pixels, kh·kw·C) matrix that stays in
//! cache, then multiplied with the (kh·kw·C, O) weights. A kernel of one pixel needs no unfolding.

use super::sizes::{Epilogue, Sizes};
use crate::buffer::Buffer;
use crate::chunks::taps_first;
use crate::product::{Matrix, Product, StartValues};
use crate::profile::{self, Work};
use crate::simd::dispatch;

/// The weights (O, C, kh, kw) in the two forms that products need.
pub(crate) struct PatchWeights {
    /// (kh·kw·C, O)
    forward: Buffer,
    /// (O, kh·kw·C)
    backward: Buffer,
}

impl PatchWeights {
    pub fn new(weight: &[f32], outputs: usize, channels: usize, taps: usize) -> Self {
        let mut backward = Buffer::scratch(weight.len());
        for (kernels, out) in weight
            .chunks_exact((channels * taps).max(1))
            .zip(backward.chunks_exact_mut((channels * taps).max(1)))
        {
            for (c, kernel) in kernels.chunks_exact(taps).enumerate() {
                kernel.iter().enumerate().for_each(|(tap, &w)| out[tap * channels + c] = w);
            }
        }
        let forward = taps_first(weight, taps, channels, outputs);
        Self { forward, backward }
    }
}

/// The number of output rows in a tile. Its patches then fill about 128 KiB.
fn tile_rows(sizes: &Sizes) -> usize {
    let (height, width) = sizes.out();
    (32_768 / (sizes.taps() * sizes.channels * width).max(1)).clamp(1, height.max(1))
}

/// The tiles as (first output row, number of rows).
fn tiles(sizes: &Sizes) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, height) = (tile_rows(sizes), sizes.out().0);
    (0..height).step_by(rows).map(move |first| (first, rows.min(height - first)))
}

/// The image's row for an output row and a kernel row; none if it is padding.
fn source_row(sizes: &Sizes, i: usize, u: usize) -> Option<usize> {
    (i * sizes.stride + u).checked_sub(sizes.padding.top).filter(|&y| y < sizes.height)
}

/// For an output column: the range (first, end) of kernel columns inside the image, and the image's column
/// of the first one.
fn source_columns(sizes: &Sizes, j: usize) -> (usize, usize, usize) {
    let (x, left) = (j * sizes.stride, sizes.padding.left);
    let first = left.saturating_sub(x).min(sizes.kernel.1);
    let last = (sizes.width + left).saturating_sub(x).clamp(first, sizes.kernel.1);
    (first, last, (x + first).saturating_sub(left))
}

/// For a kernel column: the range (first, end) of output columns for which it is inside the image, and the
/// image's column of the first one.
fn seeing_columns(sizes: &Sizes, v: usize) -> (usize, usize, usize) {
    let (stride, left, width) = (sizes.stride, sizes.padding.left, sizes.out().1);
    let first = left.saturating_sub(v).div_ceil(stride).min(width);
    let last = (sizes.width + left).saturating_sub(v).div_ceil(stride).clamp(first, width);
    (first, last, (first * stride + v).saturating_sub(left))
}

/// Whether patches are unfolded tap by tap, (kh·kw·C, pixels), instead of pixel by pixel. This is faster if
/// a pixel has so few channels that copying pixel by pixel costs more than the products.
fn is_thin(sizes: &Sizes) -> bool {
    sizes.channels <= 4 && !sizes.is_pointwise()
}

/// Calls `row` for each channel, kernel pixel and output row of a tile with values inside the image. It
/// gets the place of the first value in the image and in the thin patches, and the number of values.
#[inline(always)]
fn for_each_thin_row(sizes: &Sizes, (first, rows): (usize, usize), mut row: impl FnMut(usize, usize, usize)) {
    let (c, (kh, kw), width) = (sizes.channels, sizes.kernel, sizes.out().1);
    for u in 0..kh {
        for v in 0..kw {
            let (begin, end, x) = seeing_columns(sizes, v);
            for i in 0..rows {
                let Some(y) = source_row(sizes, first + i, u).filter(|_| begin < end) else { continue };
                for channel in 0..c {
                    let depth = (u * kw + v) * c + channel;
                    let patch = (depth * rows + i) * width + begin;
                    row((y * sizes.width + x) * c + channel, patch, end - begin);
                }
            }
        }
    }
}

/// The patches of a tile, stored as (pixels, kh·kw·C), or as (kh·kw·C, pixels) for a thin image. The
/// returned matrix is (pixels, kh·kw·C) in both cases.
fn unfold<'a>(
    sizes: &Sizes,
    image: &[f32],
    (first, rows): (usize, usize),
    patches: &'a mut [f32],
) -> Matrix<'a> {
    let _span = profile::span(Work::Patches);
    let (c, (kh, kw), width) = (sizes.channels, sizes.kernel, sizes.out().1);
    let depth = kh * kw * c;
    if is_thin(sizes) {
        let step = sizes.stride * c;
        patches[..depth * rows * width].fill(0.0);
        for_each_thin_row(sizes, (first, rows), |from, to, count| {
            let to = &mut patches[to..to + count];
            match step {
                1 => to.copy_from_slice(&image[from..from + count]),
                _ => to.iter_mut().zip(image[from..].iter().step_by(step)).for_each(|(to, &from)| *to = from),
            }
        });
        return Matrix::rows(patches, rows * width).transposed();
    }
    for (pixel, patch) in patches.chunks_exact_mut(depth).take(rows * width).enumerate() {
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
    Matrix::rows(patches, depth)
}

/// Adds patches (pixels, kh·kw·C) to the pixels from which they were unfolded.
fn fold(sizes: &Sizes, patches: &[f32], (first, rows): (usize, usize), image: &mut [f32]) {
    let _span = profile::span(Work::Patches);
    let (c, (kh, kw), width) = (sizes.channels, sizes.kernel, sizes.out().1);
    let depth = kh * kw * c;
    if is_thin(sizes) {
        let step = sizes.stride * c;
        for_each_thin_row(sizes, (first, rows), |to, patch, count| {
            let (row, pixel) = (patch / (rows * width), patch % (rows * width));
            let from = patches[pixel * depth + row..].iter().step_by(depth).take(count);
            image[to..].iter_mut().step_by(step).zip(from).for_each(|(pixel, patch)| *pixel += patch);
        });
        return;
    }
    for (pixel, patch) in patches.chunks_exact(depth).take(rows * width).enumerate() {
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
    weights: &PatchWeights,
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
            Some(_) => StartValues::Out,
            None => StartValues::Row(epilogue.bias_of(image, outputs)),
        };
        for (first, rows) in tiles(sizes) {
            let left = match sizes.is_pointwise() {
                true => Matrix::rows(&x[first * width * depth..], depth),
                false => unfold(sizes, x, (first, rows), &mut patches),
            };
            let _span = products(rows * width, depth, outputs);
            dispatch(Product {
                sizes: (rows * width, outputs, depth),
                left,
                right: &weights.forward,
                right_row: outputs,
                next_right: &[],
                out: &mut y[first * width * outputs..],
                out_row: outputs,
                start,
            });
        }
    }
    epilogue.finish(y);
}

fn products(pixels: usize, depth: usize, outputs: usize) -> profile::Span {
    profile::products(pixels * depth * outputs, pixels * (depth + outputs) + depth * outputs)
}

fn scratch(sizes: &Sizes) -> Buffer {
    let pixels = tile_rows(sizes) * sizes.out().1;
    Buffer::scratch(if sizes.is_pointwise() { 0 } else { pixels * sizes.taps() * sizes.channels })
}

/// Adds the gradient to x's.
pub(crate) fn backward_input(sizes: &Sizes, grad: &[f32], weights: &PatchWeights, grad_x: &mut [f32]) {
    let (depth, outputs, width) = (sizes.taps() * sizes.channels, sizes.outputs, sizes.out().1);
    let mut patches = scratch(sizes);
    for (grad_x, grad) in grad_x.chunks_mut(sizes.image().max(1)).zip(grad.chunks(sizes.out_image().max(1))) {
        for (first, rows) in tiles(sizes) {
            let pointwise = sizes.is_pointwise();
            let out = if pointwise { &mut grad_x[first * width * depth..] } else { &mut patches[..] };
            let span = products(rows * width, depth, outputs);
            dispatch(Product {
                sizes: (rows * width, depth, outputs),
                left: Matrix::rows(&grad[first * width * outputs..], outputs),
                right: &weights.backward,
                right_row: depth,
                next_right: &[],
                out,
                out_row: depth,
                start: if pointwise { StartValues::Out } else { StartValues::Zero },
            });
            drop(span);
            if !pointwise {
                fold(sizes, &patches, (first, rows), grad_x);
            }
        }
    }
}

/// Adds to the gradient of the weights, (kh·kw, C, O).
pub(crate) fn backward_weights(sizes: &Sizes, x: &[f32], grad: &[f32], grad_weight: &mut [f32]) {
    let (depth, outputs, width) = (sizes.taps() * sizes.channels, sizes.outputs, sizes.out().1);
    let mut patches = scratch(sizes);
    for (x, grad) in x.chunks(sizes.image().max(1)).zip(grad.chunks(sizes.out_image().max(1))) {
        for (first, rows) in tiles(sizes) {
            let left = match sizes.is_pointwise() {
                true => Matrix::rows(&x[first * width * depth..], depth),
                false => unfold(sizes, x, (first, rows), &mut patches),
            };
            let _span = products(rows * width, depth, outputs);
            dispatch(Product {
                sizes: (depth, outputs, rows * width),
                left: left.transposed(),
                right: &grad[first * width * outputs..],
                right_row: outputs,
                next_right: &[],
                out: grad_weight,
                out_row: outputs,
                start: StartValues::Out,
            });
        }
    }
}
