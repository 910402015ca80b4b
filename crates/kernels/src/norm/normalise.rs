//! Group normalisation of channels-last images, with scale, shift and SiLU, and its gradient.

use crate::buffer::Buffer;
use crate::elementwise::passes::sigmoid;
use crate::simd::{dispatch, for_each_registers, load_row, mul_add, store_row};
use pulp::{Simd, WithSimd};

/// Sizes and settings of a normalisation of (B, pixels, channels).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normalisation {
    pub channels: usize,
    pub groups: usize,
    pub pixels: usize,
    pub eps: f64,
    pub silu: bool,
}

/// Scale and shift after the normalisation: those of the layer, then, if there are any, those of each image
/// (B, 2·C), as (1 + scale) and shift.
#[derive(Clone, Copy)]
pub(crate) struct ScaleAndShift<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub modulation: Option<&'a [f32]>,
}

/// Mean and reciprocal standard deviation of one group of one image.
type Moments = (f32, f32);

impl Normalisation {
    fn image(&self) -> usize {
        self.channels * self.pixels
    }

    fn check(&self, affine: &ScaleAndShift, first: usize, values: usize, moments: usize) {
        let images = values / self.image().max(1);
        assert!(self.groups > 0 && self.channels.is_multiple_of(self.groups));
        assert!(affine.weight.len() == self.channels && affine.bias.len() == self.channels);
        assert!(affine.modulation.is_none_or(|m| m.len() >= (first + images) * 2 * self.channels));
        assert!(values == images * self.image() && moments == images * self.groups);
    }
}

/// The moments of each group of one image.
pub(crate) fn moments(norm: Normalisation, x: &[f32]) -> Vec<Moments> {
    assert_eq!(x.len(), norm.image());
    let mut moments = vec![(0.0, 0.0); norm.groups];
    let (mut sums, mut squares) = (vec![0f64; norm.channels], vec![0f64; norm.channels]);
    dispatch(PixelSums { norm, x, sums: &mut sums, squares: &mut squares });
    group_moments(&norm, x, &sums, &squares, &mut moments);
    moments
}

/// y = f((x - μ)/√(σ² + eps) · weight + bias) of the image with this number, with its moments.
pub(crate) fn apply(
    norm: Normalisation,
    affine: ScaleAndShift,
    image: usize,
    x: &[f32],
    moments: &[Moments],
    y: &mut [f32],
) {
    assert!(x.len() == norm.image() && y.len() == x.len() && moments.len() == norm.groups);
    assert!(affine.weight.len() == norm.channels && affine.bias.len() == norm.channels);
    let mut coefficients = Coefficients::new(norm.channels);
    coefficients.set(&norm, &affine, image, moments);
    dispatch(Apply { norm, x, y, coefficients: &coefficients });
}

/// The gradients to write: x's of these images, and the others of all. All of them are added to, except that x's is overwritten
/// if there is none yet.
pub(crate) struct NormGradients<'a> {
    pub x: &'a mut [f32],
    pub x_is_new: bool,
    pub weight: &'a mut [f32],
    pub bias: &'a mut [f32],
    pub modulation: Option<&'a mut [f32]>,
}

/// The gradients of some images of a batch, of which the first has this number. With x̂ the normalised input and h = gradient · scale, dx = (h - mean(h) - x̂ · mean(h · x̂)) / σ.
pub(crate) fn backward(
    norm: Normalisation,
    affine: ScaleAndShift,
    first: usize,
    x: &[f32],
    grad: &[f32],
    moments: &[Moments],
    gradients: NormGradients,
) {
    norm.check(&affine, first, x.len(), moments.len());
    assert!(grad.len() == x.len() && gradients.x.len() == x.len());
    assert!(gradients.weight.len() == norm.channels && gradients.bias.len() == norm.channels);
    dispatch(NormBackward { norm, affine, first, x, grad, moments, gradients });
}

/// The number of pixels that are summed in f32 before the sum is added in f64.
const BLOCK: usize = 128;

/// The moments of each group. Its channels' sums are of differences from their first pixels.
fn group_moments(norm: &Normalisation, x: &[f32], sums: &[f64], squares: &[f64], moments: &mut [Moments]) {
    let (width, pixels) = (norm.channels / norm.groups, norm.pixels as f64);
    for (group, moments) in moments.iter_mut().enumerate() {
        let channels = group * width..(group + 1) * width;
        let mean = channels.clone().map(|c| f64::from(x[c]) + sums[c] / pixels).sum::<f64>() / width as f64;
        // Σ (x - mean)² = Σ d² - 2 (mean - x₀) Σ d + n (mean - x₀)², d = x - x₀
        let about_mean = |c: usize| {
            let shift = mean - f64::from(x[c]);
            squares[c] - 2.0 * shift * sums[c] + pixels * shift * shift
        };
        let variance = channels.map(about_mean).sum::<f64>() / (width as f64 * pixels);
        // Rounding may leave a constant group a little below 0; NaN passes.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        *moments = (mean as f32, (1.0 / (variance + norm.eps).sqrt()) as f32);
    }
}

/// For each channel of an image: z = x · scale + shift.
struct Coefficients {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Coefficients {
    fn new(channels: usize) -> Self {
        Self { scale: vec![0.0; channels], shift: vec![0.0; channels] }
    }

    fn set(&mut self, norm: &Normalisation, affine: &ScaleAndShift, image: usize, moments: &[Moments]) {
        for c in 0..norm.channels {
            let (mean, rstd) = moments[c / (norm.channels / norm.groups)];
            let (weight, bias) = affine.of(image, c);
            self.scale[c] = weight * rstd;
            self.shift[c] = bias - mean * self.scale[c];
        }
    }
}

impl ScaleAndShift<'_> {
    /// Scale and shift of one image's channel.
    fn of(&self, image: usize, c: usize) -> (f32, f32) {
        let (weight, bias, channels) = (self.weight[c], self.bias[c], self.weight.len());
        match self.modulation {
            Some(modulation) => {
                let modulation = &modulation[image * 2 * channels..][..2 * channels];
                let scale = 1.0 + modulation[c];
                (weight * scale, bias * scale + modulation[channels + c])
            }
            None => (weight, bias),
        }
    }
}

/// Σ d and Σ d² of each channel over one image's pixels, where d = x - the channel's first pixel. This
/// takes one pass, and loses no digits if the mean is far from 0.
struct PixelSums<'a> {
    norm: Normalisation,
    x: &'a [f32],
    sums: &'a mut [f64],
    squares: &'a mut [f64],
}

impl WithSimd for PixelSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, sums, squares } = self;
        let channels = norm.channels;
        assert!(x.len() == norm.image() && sums.len() == channels && squares.len() == channels);
        sums.fill(0.0);
        squares.fill(0.0);
        for_each_registers!(channels, |c, N, lanes| {
            // SAFETY: every pixel is inside the image, and has these channels.
            #[allow(unsafe_code)]
            unsafe {
                let shift = load_row::<S, N>(simd, x.as_ptr().add(c), lanes);
                for first in (0..norm.pixels).step_by(BLOCK) {
                    let mut total = [[simd.splat_f32s(0.0); N]; 4];
                    let mut square = total;
                    for pixel in first..(first + BLOCK).min(norm.pixels) {
                        let x = load_row::<S, N>(simd, x.as_ptr().add(pixel * channels + c), lanes);
                        let quarter = pixel % 4;
                        for j in 0..N {
                            let d = simd.sub_f32s(x[j], shift[j]);
                            total[quarter][j] = simd.add_f32s(total[quarter][j], d);
                            square[quarter][j] = mul_add(simd, d, d, square[quarter][j]);
                        }
                    }
                    add_lanes(simd, total, lanes, &mut sums[c..]);
                    add_lanes(simd, square, lanes, &mut squares[c..]);
                }
            }
        });
    }
}

/// Adds sums in parts to those of their channels in f64; the last register has `lanes` values.
#[inline(always)]
fn add_lanes<S: Simd, const N: usize>(simd: S, parts: [[S::f32s; N]; 4], lanes: usize, sums: &mut [f64]) {
    for j in 0..N {
        let lanes = if j + 1 == N { lanes } else { S::F32_LANES };
        let [a, b, c, d] = [0, 1, 2, 3].map(|part: usize| parts[part][j]);
        let total = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
        let mut values = [0f32; 64];
        simd.partial_store_f32s(&mut values[..lanes], total);
        let sums = &mut sums[j * S::F32_LANES..];
        sums.iter_mut().zip(&values[..lanes]).for_each(|(sum, &value)| *sum += f64::from(value));
    }
}

/// y = f(x · scale + shift) of one image.
struct Apply<'a> {
    norm: Normalisation,
    x: &'a [f32],
    y: &'a mut [f32],
    coefficients: &'a Coefficients,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, y, coefficients } = self;
        let channels = norm.channels;
        assert!(x.len() == norm.image() && y.len() == x.len());
        for_each_registers!(channels, |c, N, lanes| {
            // SAFETY: every pixel is inside both images, and has these channels, as the coefficients have.
            #[allow(unsafe_code)]
            unsafe {
                let scale = load_row::<S, N>(simd, coefficients.scale.as_ptr().add(c), lanes);
                let shift = load_row::<S, N>(simd, coefficients.shift.as_ptr().add(c), lanes);
                for pixel in 0..norm.pixels {
                    let at = pixel * channels + c;
                    let mut z = load_row::<S, N>(simd, x.as_ptr().add(at), lanes);
                    for j in 0..N {
                        z[j] = mul_add(simd, z[j], scale[j], shift[j]);
                        if norm.silu {
                            z[j] = simd.mul_f32s(z[j], sigmoid(simd, z[j]));
                        }
                    }
                    store_row::<S, N>(simd, y.as_mut_ptr().add(at), lanes, z);
                }
            }
        });
    }
}

struct NormBackward<'a> {
    norm: Normalisation,
    affine: ScaleAndShift<'a>,
    first: usize,
    x: &'a [f32],
    grad: &'a [f32],
    moments: &'a [Moments],
    gradients: NormGradients<'a>,
}

impl WithSimd for NormBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, affine, first, x, grad, moments, mut gradients } = self;
        let (channels, width) = (norm.channels, norm.channels / norm.groups);
        let image = norm.image().max(1);
        let mut coefficients = Coefficients::new(channels);
        let mut through = Buffer::scratch(image);
        let mut means = vec![0f32; channels];
        let (mut sums, mut sums_x) = (vec![0f64; channels], vec![0f64; channels]);
        // dx += h · a + (x - mean) · b + d
        let (mut a, mut b, mut d) = (vec![0f32; channels], vec![0f32; channels], vec![0f32; channels]);
        let images =
            x.chunks_exact(image).zip(grad.chunks_exact(image)).zip(gradients.x.chunks_exact_mut(image));
        for ((i, ((x, grad), grad_x)), moments) in
            (first..).zip(images).zip(moments.chunks_exact(norm.groups))
        {
            coefficients.set(&norm, &affine, i, moments);
            means.iter_mut().enumerate().for_each(|(c, mean)| *mean = moments[c / width].0);
            simd.vectorize(Through {
                norm,
                x,
                grad,
                coefficients: &coefficients,
                means: &means,
                out: &mut through,
                sums: &mut sums,
                sums_x: &mut sums_x,
            });
            for (group, &(_, rstd)) in moments.iter().enumerate() {
                let rstd64 = f64::from(rstd);
                let (mut sum_h, mut sum_hx) = (0f64, 0f64);
                for c in group * width..(group + 1) * width {
                    let (weight, _) = affine.of(i, c);
                    sum_h += sums[c] * f64::from(weight);
                    sum_hx += sums_x[c] * rstd64 * f64::from(weight);
                    // Through the modulation z = (weight · x̂ + bias) · (1 + scale) + shift.
                    let (sum, sum_x) = (sums[c] as f32, (sums_x[c] * rstd64) as f32);
                    let mut scale = 1.0;
                    if let (Some(modulation), Some(grad)) =
                        (affine.modulation, gradients.modulation.as_deref_mut())
                    {
                        scale += modulation[i * 2 * channels + c];
                        grad[i * 2 * channels + c] += affine.weight[c] * sum_x + affine.bias[c] * sum;
                        grad[i * 2 * channels + channels + c] += sum;
                    }
                    gradients.weight[c] += sum_x * scale;
                    gradients.bias[c] += sum * scale;
                }
                let n = (width * norm.pixels) as f64;
                for c in group * width..(group + 1) * width {
                    a[c] = affine.of(i, c).0 * rstd;
                    b[c] = (-sum_hx / n * rstd64 * rstd64) as f32;
                    d[c] = (-sum_h / n * rstd64) as f32;
                }
            }
            simd.vectorize(AddInput {
                norm,
                x,
                through: &through,
                means: &means,
                a: &a,
                b: &b,
                d: &d,
                is_new: gradients.x_is_new,
                grad_x,
            });
        }
    }
}

/// The gradient before the activation, and for each channel its sum and its sum times (x - mean).
struct Through<'a> {
    norm: Normalisation,
    x: &'a [f32],
    grad: &'a [f32],
    coefficients: &'a Coefficients,
    means: &'a [f32],
    out: &'a mut [f32],
    sums: &'a mut [f64],
    sums_x: &'a mut [f64],
}

impl WithSimd for Through<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, grad, coefficients, means, out, sums, sums_x } = self;
        let channels = norm.channels;
        assert!(x.len() == norm.image() && grad.len() == x.len() && out.len() == x.len());
        sums.fill(0.0);
        sums_x.fill(0.0);
        let one = simd.splat_f32s(1.0);
        for_each_registers!(channels, |c, N, lanes| {
            // SAFETY: every pixel is inside the images, and has these channels, as the coefficients have.
            #[allow(unsafe_code)]
            unsafe {
                let scale = load_row::<S, N>(simd, coefficients.scale.as_ptr().add(c), lanes);
                let shift = load_row::<S, N>(simd, coefficients.shift.as_ptr().add(c), lanes);
                let mean = load_row::<S, N>(simd, means.as_ptr().add(c), lanes);
                for first in (0..norm.pixels).step_by(BLOCK) {
                    let mut total = [[simd.splat_f32s(0.0); N]; 2];
                    let mut total_x = total;
                    for pixel in first..(first + BLOCK).min(norm.pixels) {
                        let at = pixel * channels + c;
                        let x = load_row::<S, N>(simd, x.as_ptr().add(at), lanes);
                        let mut grad = load_row::<S, N>(simd, grad.as_ptr().add(at), lanes);
                        let half = pixel % 2;
                        for j in 0..N {
                            if norm.silu {
                                // d/dz z·p = p·(1 + z·(1 - p)), p = sigmoid(z)
                                let z = mul_add(simd, x[j], scale[j], shift[j]);
                                let p = sigmoid(simd, z);
                                let slope = mul_add(simd, z, simd.sub_f32s(one, p), one);
                                grad[j] = simd.mul_f32s(grad[j], simd.mul_f32s(p, slope));
                            }
                            total[half][j] = simd.add_f32s(total[half][j], grad[j]);
                            let about_mean = simd.sub_f32s(x[j], mean[j]);
                            total_x[half][j] = mul_add(simd, grad[j], about_mean, total_x[half][j]);
                        }
                        store_row::<S, N>(simd, out.as_mut_ptr().add(at), lanes, grad);
                    }
                    let zero = [simd.splat_f32s(0.0); N];
                    for (total, sums) in [(total, &mut *sums), (total_x, &mut *sums_x)] {
                        add_lanes(simd, [total[0], total[1], zero, zero], lanes, &mut sums[c..]);
                    }
                }
            }
        });
    }
}

/// grad_x [+]= through · a + (x - mean) · b + d.
struct AddInput<'a> {
    norm: Normalisation,
    x: &'a [f32],
    through: &'a [f32],
    means: &'a [f32],
    a: &'a [f32],
    b: &'a [f32],
    d: &'a [f32],
    is_new: bool,
    grad_x: &'a mut [f32],
}

impl WithSimd for AddInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, through, means, a, b, d, is_new, grad_x } = self;
        let channels = norm.channels;
        assert!(x.len() == norm.image() && through.len() == x.len() && grad_x.len() == x.len());
        for_each_registers!(channels, |c, N, lanes| {
            // SAFETY: every pixel is inside the images, and has these channels, as the coefficients have.
            #[allow(unsafe_code)]
            unsafe {
                let mean = load_row::<S, N>(simd, means.as_ptr().add(c), lanes);
                let a = load_row::<S, N>(simd, a.as_ptr().add(c), lanes);
                let b = load_row::<S, N>(simd, b.as_ptr().add(c), lanes);
                let d = load_row::<S, N>(simd, d.as_ptr().add(c), lanes);
                for pixel in 0..norm.pixels {
                    let at = pixel * channels + c;
                    let x = load_row::<S, N>(simd, x.as_ptr().add(at), lanes);
                    let h = load_row::<S, N>(simd, through.as_ptr().add(at), lanes);
                    let to = grad_x.as_mut_ptr().add(at);
                    let mut sum = [simd.splat_f32s(0.0); N];
                    for j in 0..N {
                        let x = simd.sub_f32s(x[j], mean[j]);
                        sum[j] = mul_add(simd, h[j], a[j], mul_add(simd, x, b[j], d[j]));
                    }
                    if !is_new {
                        let before = load_row::<S, N>(simd, to, lanes);
                        for j in 0..N {
                            sum[j] = simd.add_f32s(before[j], sum[j]);
                        }
                    }
                    store_row::<S, N>(simd, to, lanes, sum);
                }
            }
        });
    }
}
