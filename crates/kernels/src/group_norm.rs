//! Group normalisation, with its scale, shift and activation, as an op on candle tensors.

use crate::Activation;
use crate::buffer::Buffer;
use crate::chunks::{self, CHUNK, transpose};
use crate::elementwise;
use crate::normalise::{self, Affine, Gradients, Norm};
use crate::storage::{is_cpu_f32, values, with_values};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::OnceLock;

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
        let norm = Norm { channels, groups, pixels, eps, silu: activation == Activation::Silu };
        let op = Op { norm, moments: OnceLock::new() };
        let y = x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?;
        return if norm.silu { Ok(y) } else { activation.of(&y) };
    }
    let y = x.reshape((batch, groups, channels / groups * pixels))?.to_dtype(DType::F32)?;
    let y = y.broadcast_sub(&y.mean_keepdim(2)?)?;
    let y = y.broadcast_div(&(y.sqr()?.mean_keepdim(2)? + eps)?.sqrt()?)?;
    let y = y.to_dtype(x.dtype())?.reshape((batch, channels, pixels))?;
    let y = y
        .broadcast_mul(&weight.reshape((1, channels, 1))?)?
        .broadcast_add(&bias.reshape((1, channels, 1))?)?
        .reshape(x.dims())?;
    activation.of(&y)
}

struct Op {
    norm: Norm,
    /// Mean and reciprocal deviation of each image's groups, kept for the backward pass.
    moments: OnceLock<Vec<(f32, f32)>>,
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
        let norm = self.norm;
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let affine = Affine { weight, bias, modulation: None };
        let image = norm.channels * norm.pixels;
        let mut y = vec![0f32; x.len()];
        let mut moments = vec![(0f32, 0f32); x.len() / image.max(1) * norm.groups];
        y.par_chunks_mut(chunks::len(image))
            .zip(x.par_chunks(chunks::len(image)))
            .zip(moments.par_chunks_mut(CHUNK * norm.groups))
            .for_each(|((y, x), moments)| {
                let x = transpose(x, norm.channels, norm.pixels);
                let mut y_last = Buffer::scratch(y.len());
                normalise::forward(norm, affine, &x, &mut y_last, moments);
                y.copy_from_slice(&transpose(&y_last, norm.pixels, norm.channels));
            });
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
        let Some(moments) = self.moments.get() else {
            bail!("group_norm: backward before forward");
        };
        let weights = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
        let affine = Affine { weight: &weights.0, bias: &weights.1, modulation: None };
        let (grad_x, [grad_weight, grad_bias]) =
            with_values(x, |x| with_values(grad, |grad| Ok(self.backward(affine, x, grad, moments))))?;
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), x.device())?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), x.device())?),
        ))
    }
}

impl Op {
    fn backward(
        &self,
        affine: Affine,
        x: &[f32],
        grad: &[f32],
        moments: &[(f32, f32)],
    ) -> (Vec<f32>, [Vec<f32>; 2]) {
        let norm = self.norm;
        let image = norm.channels * norm.pixels;
        let mut grad_x = vec![0f32; x.len()];
        let parts: Vec<[Vec<f32>; 2]> = grad_x
            .par_chunks_mut(chunks::len(image))
            .zip(x.par_chunks(chunks::len(image)).zip(grad.par_chunks(chunks::len(image))))
            .zip(moments.par_chunks(CHUNK * norm.groups))
            .map(|((grad_x, (x, grad)), moments)| {
                let x = transpose(x, norm.channels, norm.pixels);
                let grad = transpose(grad, norm.channels, norm.pixels);
                let mut last = Buffer::scratch(x.len());
                let mut sums = [vec![0f32; norm.channels], vec![0f32; norm.channels]];
                let [weight, bias] = &mut sums;
                let gradients = Gradients { x: &mut last, x_is_new: true, weight, bias, modulation: None };
                normalise::backward(norm, affine, &x, &grad, moments, gradients);
                grad_x.copy_from_slice(&transpose(&last, norm.pixels, norm.channels));
                sums
            })
            .collect();
        let mut sums = [vec![0f32; norm.channels], vec![0f32; norm.channels]];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, part)| elementwise::add(sum, &part));
        }
        (grad_x, sums)
    }
}
