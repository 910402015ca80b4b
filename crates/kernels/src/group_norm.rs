//! Group normalisation, with its scale, shift and activation in one pass over memory.

use crate::storage::{is_cpu_f32, values, with_values};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::OnceLock;

/// What follows the normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// x · sigmoid(x) (Elfwing et al. 2018).
    Silu,
}

/// How to normalise.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm {
    /// Groups of neighbouring channels, a divisor of the channels; 1 is layer normalisation over
    /// (C, H, W).
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// What follows.
    pub activation: Activation,
}

/// Group normalisation (Wu & He 2018): y = f((x - μ) / √(σ² + eps) · weight + bias).
///
/// μ and σ² (biased) are taken over each image's group of C / groups channels and all pixels.
/// Shapes: `x` (B, C, ...), `weight` (C), `bias` (C) → the shape of `x`.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, options: GroupNorm) -> Result<Tensor> {
    let &[batch, channels, ref rest @ ..] = x.dims() else {
        bail!("group_norm: x is {:?}, expected (batch, channels, ...)", x.dims());
    };
    let pixels = rest.iter().product::<usize>();
    let GroupNorm { groups, eps, activation } = options;
    if groups == 0 || channels % groups != 0 {
        bail!("group_norm: {channels} channels do not divide into {groups} groups");
    }
    if weight.dims() != [channels] || bias.dims() != [channels] {
        bail!("group_norm: weight {:?} and bias {:?} for {channels} channels", weight.dims(), bias.dims());
    }
    if is_cpu_f32(x) {
        let sizes = Sizes { channels, groups, pixels, eps: eps as f32, activation };
        let op = Op { sizes, moments: OnceLock::new() };
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op);
    }
    let y = x.reshape((batch, groups, channels / groups * pixels))?.to_dtype(DType::F32)?;
    let y = y.broadcast_sub(&y.mean_keepdim(2)?)?;
    let y = y.broadcast_div(&(y.sqr()?.mean_keepdim(2)? + eps)?.sqrt()?)?;
    let y = y.to_dtype(x.dtype())?.reshape((batch, channels, pixels))?;
    let y = y
        .broadcast_mul(&weight.reshape((1, channels, 1))?)?
        .broadcast_add(&bias.reshape((1, channels, 1))?)?
        .reshape(x.dims())?;
    match activation {
        Activation::None => Ok(y),
        Activation::Silu => y.silu(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    channels: usize,
    groups: usize,
    pixels: usize,
    eps: f32,
    activation: Activation,
}

/// Mean and reciprocal standard deviation of one group of one image.
type Moments = (f32, f32);

struct Op {
    sizes: Sizes,
    /// Kept from the forward pass for the backward one.
    moments: OnceLock<Vec<Moments>>,
}

/// Partial sums side by side: long sums stay exact enough and fill the vector registers.
const LANES: usize = 16;

#[inline(always)]
fn sum_by(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut total = 0f64;
    for block in values.chunks(1024) {
        let mut lanes = [0f32; LANES];
        let chunks = block.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += term(value);
            }
        }
        total += lanes
            .iter()
            .chain(&rest.iter().map(|&v| term(v)).collect::<Tail>().0)
            .map(|&v| f64::from(v))
            .sum::<f64>();
    }
    total
}

/// Up to LANES - 1 values without an allocation.
struct Tail([f32; LANES]);

impl FromIterator<f32> for Tail {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        let mut tail = [0f32; LANES];
        tail.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
        Self(tail)
    }
}

#[inline(always)]
fn moments(values: &[f32], eps: f32) -> Moments {
    let n = values.len() as f64;
    let mean = (sum_by(values, |v| v) / n) as f32;
    let variance = sum_by(values, |v| (v - mean) * (v - mean)) / n;
    (mean, (1.0 / (variance + f64::from(eps)).sqrt()) as f32)
}

/// e^x for x ≤ 0 to within 2 units in the last place; 0 below -87.
///
/// 2^n · p(r) with x = n·ln 2 + r, |r| ≤ ln 2 / 2, and p the Taylor polynomial of degree 7.
/// Plain arithmetic without branches, so that the compiler turns it into vector instructions.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// 1 / (1 + e^-x).
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp_of_negative(-x.abs());
    let numerator = if x >= 0.0 { 1.0 } else { e };
    numerator / (1.0 + e)
}

/// Normalises one image.
#[inline(always)]
fn forward_image(
    s: &Sizes,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
    moments_out: &mut [Moments],
) {
    let width = s.channels / s.groups;
    for (g, out) in moments_out.iter_mut().enumerate() {
        let group = g * width * s.pixels..(g + 1) * width * s.pixels;
        *out = moments(&x[group], s.eps);
        for c in g * width..(g + 1) * width {
            let plane = c * s.pixels..(c + 1) * s.pixels;
            let scale = weight[c] * out.1;
            let shift = bias[c] - out.0 * scale;
            let pairs = y[plane.clone()].iter_mut().zip(&x[plane]);
            match s.activation {
                Activation::None => pairs.for_each(|(y, &x)| *y = x * scale + shift),
                Activation::Silu => pairs.for_each(|(y, &x)| {
                    let z = x * scale + shift;
                    *y = z * sigmoid(z);
                }),
            }
        }
    }
}

/// Gradients of one image: x's into `grad_x`, the weight's and bias's shares into `grad_affine`,
/// 2 values a channel.
///
/// With x̂ the normalised input and h = grad · weight, dx = (h - mean(h) - x̂ · mean(h · x̂)) / σ.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn backward_image(
    s: &Sizes,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    grad: &[f32],
    moments: &[Moments],
    grad_x: &mut [f32],
    grad_affine: &mut [[f32; 2]],
) {
    let width = s.channels / s.groups;
    let n = (width * s.pixels) as f64;
    for (g, &(mean, rstd)) in moments.iter().enumerate() {
        let (mut sum_h, mut sum_hx) = (0f64, 0f64);
        for c in g * width..(g + 1) * width {
            let plane = c * s.pixels..(c + 1) * s.pixels;
            let (x, grad) = (&x[plane.clone()], &grad[plane.clone()]);
            let through = &mut grad_x[plane];
            // Through the activation, kept where x's gradient will go.
            match s.activation {
                Activation::None => through.copy_from_slice(grad),
                Activation::Silu => {
                    let scale = weight[c] * rstd;
                    let shift = bias[c] - mean * scale;
                    for ((out, &x), &grad) in through.iter_mut().zip(x).zip(grad) {
                        let z = x * scale + shift;
                        let p = sigmoid(z);
                        *out = grad * p * (1.0 + z * (1.0 - p));
                    }
                }
            }
            let (sum, sum_x) = sums(through, x, mean);
            grad_affine[c] = [(sum_x * f64::from(rstd)) as f32, sum as f32];
            sum_h += sum * f64::from(weight[c]);
            sum_hx += sum_x * f64::from(rstd) * f64::from(weight[c]);
        }
        let (mean_h, mean_hx) = ((sum_h / n) as f32, (sum_hx / n) as f32);
        for c in g * width..(g + 1) * width {
            let plane = c * s.pixels..(c + 1) * s.pixels;
            let weight = weight[c];
            for (out, &x) in grad_x[plane.clone()].iter_mut().zip(&x[plane]) {
                *out = (*out * weight - mean_h - (x - mean) * rstd * mean_hx) * rstd;
            }
        }
    }
}

/// Σ grad and Σ grad · (x - mean).
#[inline(always)]
fn sums(grad: &[f32], x: &[f32], mean: f32) -> (f64, f64) {
    let (mut sum, mut sum_x) = (0f64, 0f64);
    for (grad, x) in grad.chunks(1024).zip(x.chunks(1024)) {
        let (mut lanes, mut lanes_x) = ([0f32; LANES], [0f32; LANES]);
        for (grad, x) in grad.chunks(LANES).zip(x.chunks(LANES)) {
            for (i, (&grad, &x)) in grad.iter().zip(x).enumerate() {
                lanes[i] += grad;
                lanes_x[i] += grad * (x - mean);
            }
        }
        sum += lanes.iter().map(|&v| f64::from(v)).sum::<f64>();
        sum_x += lanes_x.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    (sum, sum_x)
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "duet-group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let s = self.sizes;
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let image = (s.channels * s.pixels).max(1);
        let mut y = vec![0f32; x.len()];
        let mut moments = vec![(0f32, 0f32); x.len() / image * s.groups];
        let arch = pulp::Arch::new();
        y.par_chunks_mut(image)
            .zip(x.par_chunks(image))
            .zip(moments.par_chunks_mut(s.groups))
            .for_each(|((y, x), moments)| arch.dispatch(|| forward_image(&s, x, weight, bias, y, moments)));
        let _ = self.moments.set(moments);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let s = self.sizes;
        let Some(moments) = self.moments.get() else {
            bail!("group_norm: backward before forward");
        };
        let image = (s.channels * s.pixels).max(1);
        let mut grad_x = vec![0f32; x.elem_count()];
        let mut shares = vec![[0f32; 2]; x.elem_count() / image * s.channels];
        with_values(x, |x| {
            with_values(grad, |grad| {
                with_values(weight, |weight| {
                    with_values(bias, |bias| {
                        let arch = pulp::Arch::new();
                        grad_x
                            .par_chunks_mut(image)
                            .zip(shares.par_chunks_mut(s.channels))
                            .zip(x.par_chunks(image).zip(grad.par_chunks(image)))
                            .zip(moments.par_chunks(s.groups))
                            .for_each(|(((grad_x, shares), (x, grad)), moments)| {
                                arch.dispatch(|| {
                                    backward_image(&s, x, weight, bias, grad, moments, grad_x, shares)
                                });
                            });
                        Ok(())
                    })
                })
            })
        })?;
        let mut affine = [vec![0f32; s.channels], vec![0f32; s.channels]];
        for shares in shares.chunks(s.channels) {
            for (c, share) in shares.iter().enumerate() {
                affine[0][c] += share[0];
                affine[1][c] += share[1];
            }
        }
        let [grad_weight, grad_bias] = affine;
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(grad_weight, s.channels, x.device())?),
            Some(Tensor::from_vec(grad_bias, s.channels, x.device())?),
        ))
    }
}
