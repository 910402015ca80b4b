//! How a batch is cut for threads, and how its images change their layout.

use crate::buffer::Buffer;
use crate::simd::dispatch;

/// Images that one thread works on at a time. Fixed, so that sums over images do not depend on the
/// number of threads.
pub(crate) const CHUNK: usize = 8;

/// Values of a chunk whose images have this many.
pub(crate) fn len(image: usize) -> usize {
    CHUNK * image.max(1)
}

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

/// In squares that stay in registers or at least in the first-level cache.
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
