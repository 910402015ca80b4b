//! Loops over values. The compiler turns them into vector instructions.

use crate::elementwise::activation::Activation;
use crate::simd::{dispatch, mul_add, registers};
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
            // Sum blocks of pixels separately, so that long sums stay exact.
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

/// 1 / (1 + e^-x), to within a few units in the last place.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let x = s.min_f32s(s.max_f32s(x, s.splat_f32s(-87.0)), s.splat_f32s(87.0));
    let (p, power) = exp_factors(s, s.neg_f32s(x));
    let one = s.splat_f32s(1.0);
    s.div_f32s(one, mul_add(s, p, power, one))
}

/// e^x for x up to 88, to within a few units in the last place; 0 below -87.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let (p, power) = exp_factors(s, x);
    // A comparison with NaN is false, so NaN stays NaN.
    s.select_f32s(s.less_than_f32s(x, s.splat_f32s(-87.0)), s.splat_f32s(0.0), s.mul_f32s(p, power))
}

/// p(r) and 2^n whose product is e^x, for |x| up to 87.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and p is the Taylor polynomial of degree 7. Adding 1.5·2²³ + 127
/// rounds n and makes it an exponent.
#[inline(always)]
fn exp_factors<S: Simd>(s: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const MAGIC: f32 = 12_582_912.0 + 127.0;
    let magic = s.splat_f32s(MAGIC);
    let shifted = mul_add(s, x, s.splat_f32s(std::f32::consts::LOG2_E), magic);
    let n = s.sub_f32s(shifted, magic);
    let power =
        s.transmute_f32s_u32s(s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23)));
    let r = mul_add(s, n, s.splat_f32s(-0.693_359_4), x);
    let r = mul_add(s, n, s.splat_f32s(2.121_944_4e-4), r);
    let mut p = s.splat_f32s(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = mul_add(s, p, r, s.splat_f32s(coefficient));
    }
    (p, power)
}

/// Whether every value is finite: none has all bits of its exponent set.
pub(crate) fn are_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let largest = dispatch(|| {
        let exponents = values.iter().map(|value| value.to_bits() & EXPONENT);
        exponents.fold(0, u32::max)
    });
    largest < EXPONENT
}

/// Σ x² in f64.
pub(crate) fn squares(values: &[f32]) -> f64 {
    dispatch(|| {
        let mut lanes = [0f64; 16];
        for values in values.chunks(16) {
            lanes.iter_mut().zip(values).for_each(|(sum, &v)| *sum += f64::from(v) * f64::from(v));
        }
        lanes.iter().sum()
    })
}
