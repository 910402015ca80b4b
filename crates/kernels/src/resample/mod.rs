//! Doubling and halving of height and width, and the mean over all pixels, on the tape.

use crate::buffer::Buffer;
use crate::elementwise::passes;
use crate::profile;
use crate::tape::{Images, Pending, Step, Tape};

impl Tape {
    /// Doubles height and width by nearest neighbours, (B, H, W, C) → (B, 2H, 2W, C).
    pub fn double(&mut self, x: &Images) -> Images {
        let _span = profile::operation("other operations", false);
        let [batch, height, width, channels] = x.shape;
        let mut y = Buffer::scratch(4 * x.len());
        let row = width * channels;
        for (y, x) in y.chunks_exact_mut((4 * row).max(1)).zip(x.values.chunks_exact(row.max(1))) {
            let (first, second) = y.split_at_mut(2 * row);
            for (y, x) in first.chunks_exact_mut(2 * channels).zip(x.chunks_exact(channels)) {
                y[..channels].copy_from_slice(x);
                y[channels..].copy_from_slice(x);
            }
            second.copy_from_slice(first);
        }
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let sum = pending.of(&x);
                for (sum, grad) in sum.chunks_exact_mut(row.max(1)).zip(grad.chunks_exact((4 * row).max(1))) {
                    let (first, second) = grad.split_at(2 * row);
                    let pairs = first.chunks_exact(2 * channels).zip(second.chunks_exact(2 * channels));
                    for (sum, (a, b)) in sum.chunks_exact_mut(channels).zip(pairs) {
                        for (c, sum) in sum.iter_mut().enumerate() {
                            *sum += (a[c] + a[channels + c]) + (b[c] + b[channels + c]);
                        }
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, 2 * height, 2 * width, channels], y, x.tracked, step)
    }

    /// The mean of each 2×2 pixels, (B, H, W, C) → (B, H/2, W/2, C). Both sides are even.
    pub fn halve(&mut self, x: &Images) -> Images {
        let _span = profile::operation("other operations", false);
        let [batch, height, width, channels] = x.shape;
        assert!(height.is_multiple_of(2) && width.is_multiple_of(2), "odd sides {height}×{width}");
        let (row, out_row) = ((width * channels).max(1), (width / 2 * channels).max(1));
        let mut y = Buffer::scratch(x.len() / 4);
        for (y, rows) in y.chunks_exact_mut(out_row).zip(x.values.chunks_exact(2 * row)) {
            let (first, second) = rows.split_at(row);
            let pairs = first.chunks_exact(2 * channels).zip(second.chunks_exact(2 * channels));
            for (y, (a, b)) in y.chunks_exact_mut(channels).zip(pairs) {
                for (c, y) in y.iter_mut().enumerate() {
                    *y = ((a[c] + a[channels + c]) + (b[c] + b[channels + c])) * 0.25;
                }
            }
        }
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let sum = pending.of(&x);
                for (rows, grad) in sum.chunks_exact_mut(2 * row).zip(grad.chunks_exact(out_row)) {
                    for row in rows.chunks_exact_mut(row) {
                        for (pair, grad) in
                            row.chunks_exact_mut(2 * channels).zip(grad.chunks_exact(channels))
                        {
                            for (c, &grad) in grad.iter().enumerate() {
                                pair[c] += 0.25 * grad;
                                pair[channels + c] += 0.25 * grad;
                            }
                        }
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, height / 2, width / 2, channels], y, x.tracked, step)
    }

    /// The mean over each image's pixels, (B, H, W, C) → (B, 1, 1, C).
    pub fn mean(&mut self, x: &Images) -> Images {
        let _span = profile::operation("other operations", false);
        let [batch, height, width, channels] = x.shape;
        let pixels = height * width;
        let share = 1.0 / pixels as f32;
        let mut y = Buffer::scratch(batch * channels);
        passes::sum_pixels(&x.values, channels, pixels, &mut y);
        passes::scale(&mut y, share);
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                passes::scale(&mut grad, share);
                let sum = pending.of(&x);
                let images = sum.chunks_exact_mut((pixels * channels).max(1));
                for (sum, grad) in images.zip(grad.chunks_exact(channels.max(1))) {
                    sum.chunks_exact_mut(channels).for_each(|sum| passes::add(sum, grad));
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, 1, 1, channels], y, x.tracked, step)
    }
}
