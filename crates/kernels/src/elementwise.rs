//! Passes over values that the compiler turns into vector instructions by itself.

use crate::Activation;
use crate::normalise::sigmoid;
use crate::simd::{dispatch, registers};
use pulp::{Simd, WithSimd};

/// sum += values.
pub(crate) fn add(sum: &mut [f32], values: &[f32]) {
    assert_eq!(sum.len(), values.len());
    dispatch(|| sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value));
}

/// values *= factor.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    dispatch(|| values.iter_mut().for_each(|value| *value *= factor));
}

/// y = f(x).
pub(crate) fn activate(f: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    match f {
        Activation::Silu => dispatch(Silu { x, grad: None, y }),
        f => x.iter().zip(y).for_each(|(&x, y)| *y = f.value_and_slope(x).0),
    }
}

/// y = grad · f'(x).
pub(crate) fn activation_gradient(f: Activation, x: &[f32], grad: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && grad.len() == y.len());
    match f {
        Activation::Silu => dispatch(Silu { x, grad: Some(grad), y }),
        f => x.iter().zip(grad).zip(y).for_each(|((&x, grad), y)| *y = f.value_and_slope(x).1 * grad),
    }
}

struct Silu<'a> {
    x: &'a [f32],
    grad: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl WithSimd for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for (first, lanes) in registers::<S>(self.x.len()) {
            let x = s.partial_load_f32s(&self.x[first..][..lanes]);
            let p = sigmoid(s, x);
            let y = match self.grad {
                None => s.mul_f32s(x, p),
                Some(grad) => {
                    let one = s.splat_f32s(1.0);
                    let slope = s.mul_f32s(p, s.add_f32s(one, s.mul_f32s(x, s.sub_f32s(one, p))));
                    s.mul_f32s(s.partial_load_f32s(&grad[first..][..lanes]), slope)
                }
            };
            s.partial_store_f32s(&mut self.y[first..][..lanes], y);
        }
    }
}

/// sums (B, C) = Σ over each image's pixels of values (B, pixels, C).
pub(crate) fn sum_pixels(values: &[f32], channels: usize, pixels: usize, sums: &mut [f32]) {
    assert_eq!(values.len() * channels, sums.len() * channels * pixels);
    dispatch(|| {
        for (sums, image) in
            sums.chunks_exact_mut(channels).zip(values.chunks_exact((channels * pixels).max(1)))
        {
            sums.fill(0.0);
            // So many pixels are summed apart that long sums stay exact.
            for block in image.chunks(64 * channels) {
                add_pixels(block, channels, sums);
            }
        }
    });
}

#[inline(always)]
fn add_pixels(block: &[f32], channels: usize, sums: &mut [f32]) {
    const LANES: usize = 16;
    let whole = channels / LANES * LANES;
    for c in (0..whole).step_by(LANES) {
        let mut lanes = [0f32; LANES];
        for pixel in block.chunks_exact(channels) {
            lanes.iter_mut().zip(&pixel[c..c + LANES]).for_each(|(sum, value)| *sum += value);
        }
        sums[c..c + LANES].iter_mut().zip(lanes).for_each(|(sum, value)| *sum += value);
    }
    for (c, sum) in sums.iter_mut().enumerate().skip(whole) {
        *sum += block.iter().skip(c).step_by(channels).sum::<f32>();
    }
}
