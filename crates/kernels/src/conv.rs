//! Two-dimensional convolution as an op on candle tensors.

use crate::buffer::Buffer;
use crate::chunks::{self, CHUNK, transpose, weights_first};
use crate::elementwise;
use crate::kernel::Kernel;
use crate::sizes::{Epilogue, Padding, Sizes};
use crate::storage::{is_cpu_f32, values, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// How a convolution moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Pixels from one output to the next, at least 1.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: Padding,
}

/// Convolution (cross-correlation, as in torch) with bias.
///
/// y\[b, o, i, j\] = bias\[o\] + Σ w\[o, c, u, v\] · x\[b, c, i·stride + u - top, j·stride + v - left\].
/// Shapes: `x` (B, C, H, W), `weight` (O, C, kh, kw), `bias` (O) → (B, O, H', W') with
/// H' = (H + top + bottom - kh) / stride + 1, rounded down. Errors name the shapes that disagree.
/// 3×3 kernels of stride 1 run Winograd's F(4×4, 3×3): docs/kernels.md has its error bounds.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, options: Conv2d) -> Result<Tensor> {
    let (batch, sizes) = sizes(x, weight, options)?;
    if bias.dims() != [sizes.outputs] {
        bail!("conv2d: bias is {:?}, expected [{}]", bias.dims(), sizes.outputs);
    }
    if is_cpu_f32(x) {
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Op { batch, sizes });
    }
    let p = options.padding;
    let padded = x.pad_with_zeros(2, p.top, p.bottom)?.pad_with_zeros(3, p.left, p.right)?;
    let bias = bias.reshape((1, sizes.outputs, 1, 1))?;
    padded.conv2d(weight, 0, options.stride, 1, 1)?.broadcast_add(&bias)
}

fn sizes(x: &Tensor, weight: &Tensor, options: Conv2d) -> Result<(usize, Sizes)> {
    let (batch, channels, height, width) = x.dims4()?;
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
    Ok((batch, sizes))
}

struct Op {
    batch: usize,
    sizes: Sizes,
}

impl Op {
    fn kernel(&self, weight: &[f32], bias: &[f32], gradients: bool) -> Kernel {
        Kernel::new(weight, bias, self.sizes.channels, self.sizes.kernel, gradients)
    }

    fn pixels(&self) -> usize {
        self.sizes.height * self.sizes.width
    }

    fn out_pixels(&self) -> usize {
        self.sizes.out().0 * self.sizes.out().1
    }

    fn forward(&self, x: &[f32], kernel: &Kernel) -> Vec<f32> {
        let sizes = &self.sizes;
        let mut y = vec![0f32; self.batch * sizes.out_image()];
        let chunks =
            y.par_chunks_mut(chunks::len(sizes.out_image())).zip(x.par_chunks(chunks::len(sizes.image())));
        chunks.for_each(|(y, x)| {
            let last = transpose(x, sizes.channels, self.pixels());
            let mut y_last = Buffer::scratch(y.len());
            let epilogue = Epilogue { bias: &kernel.bias, residual: None, scale: 1.0 };
            kernel.forward(sizes, y.len() / sizes.out_image().max(1), &last, epilogue, &mut y_last);
            y.copy_from_slice(&transpose(&y_last, self.out_pixels(), sizes.outputs));
        });
        y
    }

    /// The gradients of x (if wanted), of the weights and of the bias.
    fn backward(&self, x: &[f32], grad: &[f32], kernel: &Kernel, wants_x: bool) -> (Vec<f32>, [Vec<f32>; 2]) {
        let sizes = &self.sizes;
        let mut grad_x = vec![0f32; if wants_x { x.len() } else { 0 }];
        let mut grads_x: Vec<_> = grad_x.chunks_mut(chunks::len(sizes.image())).collect();
        grads_x.resize_with(self.batch.div_ceil(CHUNK), Default::default);
        let parts: Vec<[Vec<f32>; 2]> = grads_x
            .into_par_iter()
            .zip(
                x.par_chunks(chunks::len(sizes.image())).zip(grad.par_chunks(chunks::len(sizes.out_image()))),
            )
            .map(|(grad_x, (x, grad))| {
                let batch = grad.len() / sizes.out_image().max(1);
                let (x, grad) = (
                    transpose(x, sizes.channels, self.pixels()),
                    transpose(grad, sizes.outputs, self.out_pixels()),
                );
                let mut weight = vec![0f32; sizes.outputs * sizes.channels * sizes.taps()];
                let mut last = wants_x.then(|| Buffer::zeros(x.len()));
                kernel.backward(sizes, batch, &x, &grad, last.as_deref_mut(), Some(&mut weight));
                if let Some(last) = last {
                    grad_x.copy_from_slice(&transpose(&last, self.pixels(), sizes.channels));
                }
                let mut bias = vec![0f32; sizes.outputs];
                elementwise::sum_pixels(&grad, sizes.outputs, batch * self.out_pixels(), &mut bias);
                [weight, bias]
            })
            .collect();
        let mut sums = [vec![0f32; sizes.outputs * sizes.channels * sizes.taps()], vec![0f32; sizes.outputs]];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, part)| elementwise::add(sum, &part));
        }
        let [weight, bias] = sums;
        (grad_x, [weights_first(&weight, sizes.taps(), sizes.channels, sizes.outputs), bias])
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "duet-conv2d"
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
        let kernel = self.kernel(values(weight, weight_layout)?, values(bias, bias_layout)?, false);
        let y = self.forward(values(x, x_layout)?, &kernel);
        let (height, width) = self.sizes.out();
        Ok((CpuStorage::F32(y), (self.batch, self.sizes.outputs, height, width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wants_x = x.track_op();
        let (grad_x, [grad_weight, grad_bias]) = with_values(weight, |weight| {
            let kernel = self.kernel(weight, &vec![0.0; self.sizes.outputs], true);
            with_values(x, |x| with_values(grad, |grad| Ok(self.backward(x, grad, &kernel, wants_x))))
        })?;
        Ok((
            wants_x.then(|| Tensor::from_vec(grad_x, x.shape(), x.device())).transpose()?,
            Some(Tensor::from_vec(grad_weight, weight.shape(), x.device())?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), x.device())?),
        ))
    }
}
