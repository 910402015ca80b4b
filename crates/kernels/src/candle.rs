//! The tape's operations as ops on candle tensors.
//!
//! One adapter ([`Op`]) cuts a batch into chunks, puts their channels last, and runs an operation of the
//! tape on each. The backward pass records the operation again. On other devices and types, these functions
//! call candle's own ops.

use crate::chunks::transpose;
use crate::conv::sizes::{Padding, Sizes};
use crate::conv::{ConvWeights, Sum};
use crate::elementwise::activation::Activation;
use crate::norm::NormWeights;
use crate::storage::{is_cpu_f32, values, with_values};
use crate::tape::{Gradients, Images, Tape};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// The stride and padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// The number of input pixels from one output to the next, at least 1.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: Padding,
}

/// Convolution (cross-correlation, as in torch) with bias.
///
/// y\[b, o, i, j\] = bias\[o\] + Σ w\[o, c, u, v\] · x\[b, c, i·stride + u - top, j·stride + v - left\].
/// Shapes: `x` (B, C, H, W), `weight` (O, C, kh, kw), `bias` (O) → (B, O, H', W') with H' = (H + top +
/// bottom - kh) / stride + 1, rounded down. 3×3 kernels with stride 1 use Winograd's F(4×4, 3×3);
/// docs/design/kernels.md has its error bounds. Errors: shapes that do not fit; the error names them.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, options: Conv2d) -> Result<Tensor> {
    let sizes = sizes(x, weight, options)?;
    if bias.dims() != [sizes.outputs] {
        bail!("conv2d: bias is {:?}, expected [{}]", bias.dims(), sizes.outputs);
    }
    let Conv2d { stride, padding } = options;
    if is_cpu_f32(x) {
        let weights = {
            let (channels, kernel) = (sizes.channels, sizes.kernel);
            move |weight: &[f32], bias: &[f32], gradients: bool| {
                Arc::new(ConvWeights::new(WEIGHTS, weight, bias, channels, kernel, gradients))
            }
        };
        let run = move |tape: &mut Tape, x: &Images, weights: &Arc<ConvWeights>| {
            tape.conv(x, weights, stride, padding, Sum::NOTHING)
        };
        return apply("duet-conv2d", x, [weight, bias], CHUNK, weights, run);
    }
    let padded =
        x.pad_with_zeros(2, padding.top, padding.bottom)?.pad_with_zeros(3, padding.left, padding.right)?;
    let bias = bias.reshape((1, sizes.outputs, 1, 1))?;
    padded.conv2d(weight, 0, stride, 1, 1)?.broadcast_add(&bias)
}

fn sizes(x: &Tensor, weight: &Tensor, options: Conv2d) -> Result<Sizes> {
    let (_, channels, height, width) = x.dims4()?;
    let (outputs, weight_channels, kernel_height, kernel_width) = weight.dims4()?;
    let Conv2d { stride, padding } = options;
    if channels != weight_channels {
        bail!("conv2d: x has {channels} channels, weight {:?} takes {weight_channels}", weight.dims());
    }
    if stride == 0 || kernel_height == 0 || kernel_width == 0 {
        bail!("conv2d: stride {stride} and weight {:?} must not be 0", weight.dims());
    }
    let kernel = (kernel_height, kernel_width);
    let sizes = Sizes { channels, height, width, outputs, kernel, stride, padding, doubled: false };
    if sizes.checked_out().is_none() {
        bail!("conv2d: the kernel of {:?} is larger than the padded x {:?}", weight.dims(), x.dims());
    }
    Ok(sizes)
}

/// y = x · weightᵀ + bias.
///
/// Shapes: `x` (..., I), `weight` (O, I), `bias` (O) → (..., O). The additions for a row always have the
/// same order; a general matrix product would choose it by the number of rows. Errors: shapes that do not
/// fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    if x.dims().last() != Some(&inputs) || bias.dims() != [outputs] {
        bail!("linear: x {:?}, weight {:?} and bias {:?} do not fit", x.dims(), weight.dims(), bias.dims());
    }
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(outputs);
    let rows = x.reshape(((), inputs))?;
    if is_cpu_f32(x) {
        let weights = move |weight: &[f32], bias: &[f32], gradients: bool| {
            Arc::new(ConvWeights::new(WEIGHTS, weight, bias, inputs, (1, 1), gradients))
        };
        let run =
            |tape: &mut Tape, x: &Images, weights: &Arc<ConvWeights>| tape.linear(x, weights, Sum::NOTHING);
        return apply("duet-linear", &rows, [weight, bias], ROWS, weights, run)?.reshape(shape);
    }
    rows.matmul(&weight.t()?)?.broadcast_add(bias)?.reshape(shape)
}

/// The settings of a group normalisation.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm {
    /// The number of groups of neighbouring channels, a divisor of C. 1 gives layer normalisation over (C,
    /// H, W).
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// The activation after the normalisation.
    pub activation: Activation,
}

/// Group normalisation (Wu & He 2018): y = f((x - μ) / √(σ² + eps) · weight + bias).
///
/// μ and σ² (biased) are those of each image's group: C / groups channels and all pixels. Shapes: `x` (B,
/// C, ...), `weight` (C), `bias` (C) → the shape of `x`. Errors: shapes that do not fit.
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
        let weights = move |weight: &[f32], bias: &[f32], _: bool| {
            Arc::new(NormWeights::new(WEIGHTS, weight, bias, groups, eps))
        };
        let run = move |tape: &mut Tape, x: &Images, weights: &Arc<NormWeights>| {
            tape.norm(x, weights, activation, None)
        };
        let image = x.reshape((batch, channels, pixels, 1))?;
        return apply("duet-group-norm", &image, [weight, bias], CHUNK, weights, run)?.reshape(x.dims());
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

/// The number of images, or of a linear layer's rows, that a thread works on at a time. It is fixed, so
/// that sums over images do not depend on the number of threads.
const CHUNK: usize = 8;
const ROWS: usize = 256;

/// The name of the layer's gradients on the tape.
const WEIGHTS: &str = "layer";
const WEIGHT: &str = "layer.weight";
const BIAS: &str = "layer.bias";
const INPUT: &str = "x";

/// Runs an operation of the tape on `x` (B, C, H, W), or rows (B, C), in chunks of `chunk` images.
///
/// `weights` prepares the layer's weights from their values, with or without what gradients need. `run` is
/// the operation.
fn apply<L: Send + Sync + 'static>(
    name: &'static str,
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    chunk: usize,
    weights: impl Fn(&[f32], &[f32], bool) -> Arc<L> + Send + Sync + 'static,
    run: impl Fn(&mut Tape, &Images, &Arc<L>) -> Images + Send + Sync + 'static,
) -> Result<Tensor> {
    let op = Op { name, chunk, weights, run };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

struct Op<W, R> {
    name: &'static str,
    chunk: usize,
    weights: W,
    run: R,
}

/// (channels, height, width) of (B, C, H, W) or of rows (B, C).
fn image(dims: &[usize]) -> [usize; 3] {
    match *dims {
        [_, channels, height, width] => [channels, height, width],
        [_, channels] => [channels, 1, 1],
        _ => [0; 3],
    }
}

impl<L, W, R> Op<W, R>
where
    L: Send + Sync,
    W: Fn(&[f32], &[f32], bool) -> Arc<L> + Send + Sync,
    R: Fn(&mut Tape, &Images, &Arc<L>) -> Images + Send + Sync,
{
    /// The sides (C, H, W) of the result, and its values, image after image.
    fn forward(&self, x: &[f32], sides: [usize; 3], layer: &Arc<L>) -> ([usize; 3], Vec<f32>) {
        // Even without images, the sides of the result are needed.
        let chunks = if x.is_empty() { vec![x] } else { x.chunks(self.len(sides)).collect() };
        let parts: Vec<([usize; 3], Vec<f32>)> = chunks
            .into_par_iter()
            .map(|x| {
                let mut tape = Tape::forward_only();
                let y = (self.run)(&mut tape, &channels_last(x, sides), layer);
                let [_, height, width, channels] = y.shape();
                ([channels, height, width], transpose(y.values(), height * width, channels).to_vec())
            })
            .collect();
        let sides = parts.first().map_or([0; 3], |part| part.0);
        (sides, parts.into_iter().flat_map(|part| part.1).collect())
    }

    /// The gradients of x, and of the layer's weight and bias.
    fn backward(
        &self,
        (x, sides): (&[f32], [usize; 3]),
        (grad, out): (&[f32], [usize; 3]),
        layer: &Arc<L>,
    ) -> (Vec<f32>, Gradients) {
        let chunks = x.par_chunks(self.len(sides)).zip(grad.par_chunks(self.len(out)));
        let parts: Vec<(Vec<f32>, Gradients)> = chunks
            .map(|(x, grad)| {
                let mut tape = Tape::recording();
                let x = tape.variable(INPUT, &channels_last(x, sides));
                let y = (self.run)(&mut tape, &x, layer);
                let gradients = tape.backward(&y, channels_last(grad, out).values());
                let grad_x = gradients.get(INPUT).unwrap_or_default();
                (transpose(&grad_x, sides[1] * sides[2], sides[0]).to_vec(), gradients)
            })
            .collect();
        let mut sums = Gradients::default();
        let mut grad_x = Vec::with_capacity(x.len());
        for (part, gradients) in parts {
            grad_x.extend(part);
            sums.add(gradients.without(INPUT));
        }
        (grad_x, sums)
    }

    /// The number of values of a chunk.
    fn len(&self, sides: [usize; 3]) -> usize {
        self.chunk * sides.iter().product::<usize>().max(1)
    }
}

/// A chunk of images (C, H, W) for the tape.
fn channels_last(x: &[f32], [channels, height, width]: [usize; 3]) -> Images {
    let batch = x.len() / (channels * height * width).max(1);
    Images::new([batch, height, width, channels], &transpose(x, channels, height * width))
}

impl<L, W, R> CustomOp3 for Op<W, R>
where
    L: Send + Sync,
    W: Fn(&[f32], &[f32], bool) -> Arc<L> + Send + Sync,
    R: Fn(&mut Tape, &Images, &Arc<L>) -> Images + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
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
        let layer = (self.weights)(values(weight, weight_layout)?, values(bias, bias_layout)?, false);
        let dims = x_layout.dims();
        let ([channels, height, width], y) = self.forward(values(x, x_layout)?, image(dims), &layer);
        let shape = match dims {
            [rows, _] => Shape::from((*rows, channels)),
            _ => Shape::from((dims[0], channels, height, width)),
        };
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let layer =
            with_values(weight, |weight| with_values(bias, |bias| Ok((self.weights)(weight, bias, true))))?;
        let (grad_x, sums) = with_values(x, |values| {
            with_values(grad, |grad| {
                Ok(self.backward((values, image(x.dims())), (grad, image(y.dims())), &layer))
            })
        })?;
        let of = |name: &str, like: &Tensor| match sums.get(name) {
            Some(grad) => Tensor::from_vec(grad, like.shape(), like.device()),
            None => like.zeros_like(),
        };
        let grad_x = Tensor::from_vec(grad_x, x.shape(), x.device())?;
        Ok((Some(grad_x), Some(of(WEIGHT, weight)?), Some(of(BIAS, bias)?)))
    }
}
