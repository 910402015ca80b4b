//! Changes the layout of images and weights.

use crate::buffer::Buffer;
use crate::simd::dispatch;

/// Each image's (rows, columns) as (columns, rows): to and from channels last.
pub(crate) fn transpose(images: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::scratch(images.len());
    let image = (rows * columns).max(1);
    dispatch(|| {
        for (image, out) in images.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
            transpose_image(image, rows, columns, out);
        }
    });
    out
}

/// Transposes in squares that stay in registers, or at least in the first-level cache.
#[inline(always)]
fn transpose_image(image: &[f32], rows: usize, columns: usize, out: &mut [f32]) {
    const SIDE: usize = 8;
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            if row + SIDE <= rows && column + SIDE <= columns {
                let mut square = [[0f32; SIDE]; SIDE];
                for (i, square) in square.iter_mut().enumerate() {
                    square.copy_from_slice(&image[(row + i) * columns + column..][..SIDE]);
                }
                for j in 0..SIDE {
                    let to = &mut out[(column + j) * rows + row..][..SIDE];
                    for i in 0..SIDE {
                        to[i] = square[i][j];
                    }
                }
            } else {
                for i in row..rows.min(row + SIDE) {
                    for j in column..columns.min(column + SIDE) {
                        out[j * rows + i] = image[i * columns + j];
                    }
                }
            }
        }
    }
}

/// The number of outputs whose kernels are moved together, so that reads and writes both come in runs.
const TOGETHER: usize = 16;

/// Weights (O, C, taps) as (taps, C, O).
pub(crate) fn taps_first(weight: &[f32], taps: usize, channels: usize, outputs: usize) -> Buffer {
    let mut out = Buffer::scratch(weight.len());
    for first in (0..outputs).step_by(TOGETHER) {
        let count = TOGETHER.min(outputs - first);
        for c in 0..channels {
            for tap in 0..taps {
                let to = &mut out[(tap * channels + c) * outputs + first..][..count];
                for (i, to) in to.iter_mut().enumerate() {
                    *to = weight[((first + i) * channels + c) * taps + tap];
                }
            }
        }
    }
    out
}

/// Writes a gradient (taps, C, O) in the order of the weights, (O, C, taps).
pub(crate) fn weights_first(grad: &[f32], taps: usize, channels: usize, outputs: usize, out: &mut [f32]) {
    assert_eq!(grad.len(), out.len(), "values of a gradient");
    for first in (0..outputs).step_by(TOGETHER) {
        let count = TOGETHER.min(outputs - first);
        for c in 0..channels {
            for tap in 0..taps {
                let from = &grad[(tap * channels + c) * outputs + first..][..count];
                for (i, &from) in from.iter().enumerate() {
                    out[((first + i) * channels + c) * taps + tap] = from;
                }
            }
        }
    }
}
