//! Two-dimensional convolution as matrix products over tiles of unfolded patches.
//!
//! A tile is a few output rows of one image. Its patches are unfolded into a (C·kh·kw, pixels)
//! matrix that stays in the second-level cache, then multiplied with the (O, C·kh·kw) weights.
//! The gradient with respect to the input is, for stride 1, again a convolution, with the weights
//! turned by 180°; for other strides the products are folded back.

use crate::matrix::{Matrix, multiply};
use crate::storage::{is_cpu_f32, values, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::cell::RefCell;

/// Zeros added around an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Padding {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

impl Padding {
    /// The same number of zeros on all four sides.
    pub fn all(n: usize) -> Self {
        Self { top: n, bottom: n, left: n, right: n }
    }
}

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
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, options: Conv2d) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, options)?;
    if bias.dims() != [geometry.outputs] {
        bail!("conv2d: bias is {:?}, expected [{}]", bias.dims(), geometry.outputs);
    }
    if is_cpu_f32(x) {
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Op(geometry));
    }
    let p = options.padding;
    let padded = x.pad_with_zeros(2, p.top, p.bottom)?.pad_with_zeros(3, p.left, p.right)?;
    padded.conv2d(weight, 0, options.stride, 1, 1)?.broadcast_add(&bias.reshape((
        1,
        geometry.outputs,
        1,
        1,
    ))?)
}

/// All sizes of one convolution.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel_height: usize,
    kernel_width: usize,
    out_height: usize,
    out_width: usize,
    options: Conv2d,
}

impl Geometry {
    fn new(x: &Tensor, weight: &Tensor, options: Conv2d) -> Result<Self> {
        let (batch, channels, height, width) = x.dims4()?;
        let (outputs, weight_channels, kernel_height, kernel_width) = weight.dims4()?;
        let Padding { top, bottom, left, right } = options.padding;
        if channels != weight_channels {
            bail!("conv2d: x has {channels} channels, weight {:?} takes {weight_channels}", weight.dims());
        }
        if options.stride == 0 || kernel_height == 0 || kernel_width == 0 {
            bail!("conv2d: stride {} and weight {:?} must not be 0", options.stride, weight.dims());
        }
        if height + top + bottom < kernel_height || width + left + right < kernel_width {
            bail!("conv2d: the kernel of {:?} is larger than the padded x {:?}", weight.dims(), x.dims());
        }
        Ok(Self {
            batch,
            channels,
            height,
            width,
            outputs,
            kernel_height,
            kernel_width,
            out_height: (height + top + bottom - kernel_height) / options.stride + 1,
            out_width: (width + left + right - kernel_width) / options.stride + 1,
            options,
        })
    }

    fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    fn out_image(&self) -> usize {
        self.outputs * self.out_pixels()
    }

    fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Weights of one output channel, the depth of the products.
    fn depth(&self) -> usize {
        self.channels * self.kernel_height * self.kernel_width
    }

    /// Whether the unfolded patches are the image itself.
    fn is_pointwise(&self) -> bool {
        self.kernel_height == 1
            && self.kernel_width == 1
            && self.options.stride == 1
            && self.options.padding == Padding::default()
    }

    /// Output rows a tile, so that its patches fill about 256 KiB.
    fn tile_rows(&self) -> usize {
        (65_536 / (self.depth() * self.out_width).max(1)).clamp(1, self.out_height)
    }

    /// The tiles as ranges of output rows.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (rows, height) = (self.tile_rows(), self.out_height);
        (0..height).step_by(rows).map(move |first| (first, (first + rows).min(height)))
    }

    /// The convolution that turns the output's gradient into the input's, for stride 1.
    fn adjoint(&self) -> Option<Self> {
        let Padding { top, bottom, left, right } = self.options.padding;
        let (kh, kw) = (self.kernel_height - 1, self.kernel_width - 1);
        let fits = self.options.stride == 1 && top.max(bottom) <= kh && left.max(right) <= kw;
        fits.then(|| Self {
            channels: self.outputs,
            height: self.out_height,
            width: self.out_width,
            outputs: self.channels,
            out_height: self.height,
            out_width: self.width,
            options: Conv2d {
                stride: 1,
                padding: Padding { top: kh - top, bottom: kh - bottom, left: kw - left, right: kw - right },
            },
            ..*self
        })
    }

    /// For kernel column `v`: the output columns whose input column lies inside the image.
    fn inside(&self, v: usize) -> (usize, usize) {
        let (stride, left) = (self.options.stride, self.options.padding.left);
        let first = left.saturating_sub(v).div_ceil(stride).min(self.out_width);
        let last = (self.width + left).saturating_sub(v).div_ceil(stride).min(self.out_width);
        (first, last.max(first))
    }

    /// Calls `row` for each row of the tile's patch matrix that lies in the image, with the
    /// patch's position in the matrix, its place in the image and the columns that are inside.
    fn for_each_patch_row(&self, (first, last): (usize, usize), mut row: impl FnMut(PatchRow)) {
        let stride = self.options.stride;
        let pixels = (last - first) * self.out_width;
        for depth in 0..self.depth() {
            let v = depth % self.kernel_width;
            let u = depth / self.kernel_width % self.kernel_height;
            let c = depth / (self.kernel_width * self.kernel_height);
            let (begin, end) = self.inside(v);
            for i in first..last {
                let y = (i * stride + u).checked_sub(self.options.padding.top);
                let y = y.filter(|&y| y < self.height && begin < end);
                row(PatchRow {
                    patch: depth * pixels + (i - first) * self.out_width,
                    begin,
                    end,
                    source: y.map(|y| {
                        (c * self.height + y) * self.width + begin * stride + v - self.options.padding.left
                    }),
                });
            }
        }
    }
}

/// One output row of the patch matrix, for one weight.
struct PatchRow {
    /// Where the row starts in the patch matrix.
    patch: usize,
    /// Its columns that see the image, `begin..end`; the others see padding.
    begin: usize,
    end: usize,
    /// The pixel that column `begin` sees; none where the whole row is padding.
    source: Option<usize>,
}

/// patches (depth, pixels of the tile) of one image.
fn unfold(g: &Geometry, image: &[f32], tile: (usize, usize), patches: &mut Vec<f32>) {
    let stride = g.options.stride;
    patches.resize(g.depth() * (tile.1 - tile.0) * g.out_width, 0.0);
    g.for_each_patch_row(tile, |row| {
        let out = &mut patches[row.patch..row.patch + g.out_width];
        let Some(source) = row.source else {
            return out.fill(0.0);
        };
        out[..row.begin].fill(0.0);
        out[row.end..].fill(0.0);
        let out = &mut out[row.begin..row.end];
        if stride == 1 {
            out.copy_from_slice(&image[source..source + out.len()]);
        } else {
            let pixels = image[source..].iter().step_by(stride);
            out.iter_mut().zip(pixels).for_each(|(out, &pixel)| *out = pixel);
        }
    });
}

/// Adds patches back to where they were unfolded from.
fn fold(g: &Geometry, patches: &[f32], tile: (usize, usize), image: &mut [f32]) {
    g.for_each_patch_row(tile, |row| {
        let Some(source) = row.source else { return };
        let pixels = image[source..].iter_mut().step_by(g.options.stride);
        let patch = &patches[row.patch + row.begin..row.patch + row.end];
        pixels.zip(patch).for_each(|(pixel, &patch)| *pixel += patch);
    });
}

thread_local! {
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the patch matrix of one tile and the number of its columns' stride.
fn with_patches<R>(g: &Geometry, image: &[f32], tile: (usize, usize), f: impl FnOnce(Matrix) -> R) -> R {
    if g.is_pointwise() {
        return f(Matrix::rows(&image[tile.0 * g.out_width..], g.out_pixels()));
    }
    PATCHES.with_borrow_mut(|patches| {
        unfold(g, image, tile, patches);
        f(Matrix::rows(patches, (tile.1 - tile.0) * g.out_width))
    })
}

/// y (B, O, H', W') of x (B, C, H, W), weight (O, C·kh·kw) and bias (O; empty for none).
fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut y = vec![0f32; g.batch * g.out_image()];
    y.par_chunks_mut(g.out_image().max(1)).zip(x.par_chunks(g.image().max(1))).for_each(|(y, x)| {
        for (plane, &bias) in y.chunks_mut(g.out_pixels()).zip(bias) {
            plane.fill(bias);
        }
        for tile in g.tiles() {
            with_patches(g, x, tile, |patches| {
                let sizes = (g.outputs, (tile.1 - tile.0) * g.out_width, g.depth());
                let weight = Matrix::rows(weight, g.depth());
                multiply(sizes, weight, patches, &mut y[tile.0 * g.out_width..], g.out_pixels(), true);
            });
        }
    });
    y
}

/// The gradient with respect to x, from the output's gradient and the weights.
fn backward_input(g: &Geometry, grad: &[f32], weight: &[f32]) -> Vec<f32> {
    if let Some(adjoint) = g.adjoint() {
        return forward(&adjoint, grad, &turned(g, weight), &[]);
    }
    let mut grad_x = vec![0f32; g.batch * g.image()];
    let images = grad_x.par_chunks_mut(g.image().max(1)).zip(grad.par_chunks(g.out_image().max(1)));
    images.for_each(|(grad_x, grad)| {
        let mut patches = Vec::new();
        for tile in g.tiles() {
            let pixels = (tile.1 - tile.0) * g.out_width;
            patches.resize(g.depth() * pixels, 0.0);
            let weight = Matrix::rows(weight, g.depth()).transposed();
            let grad = Matrix::rows(&grad[tile.0 * g.out_width..], g.out_pixels());
            multiply((g.depth(), pixels, g.outputs), weight, grad, &mut patches, pixels, false);
            fold(g, &patches, tile, grad_x);
        }
    });
    grad_x
}

/// Weights (O, C, kh, kw) as (C, O, kh, kw), each kernel turned by 180°.
fn turned(g: &Geometry, weight: &[f32]) -> Vec<f32> {
    let kernel = g.kernel_height * g.kernel_width;
    let mut out = Vec::with_capacity(weight.len());
    for c in 0..g.channels {
        for o in 0..g.outputs {
            let first = (o * g.channels + c) * kernel;
            out.extend(weight[first..first + kernel].iter().rev());
        }
    }
    out
}

/// The batch is cut into at most this many parts whose weight gradients are summed in order, so
/// that the sum does not depend on the number of threads.
const PARTS: usize = 16;

/// The gradients with respect to the weights (O, C·kh·kw) and the bias (O).
fn backward_weight(g: &Geometry, x: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let images = g.batch.div_ceil(PARTS).max(1);
    let parts: Vec<_> = x
        .par_chunks(images * g.image().max(1))
        .zip(grad.par_chunks(images * g.out_image().max(1)))
        .map(|(x, grad)| {
            let mut weight = vec![0f32; g.outputs * g.depth()];
            let mut bias = vec![0f32; g.outputs];
            for (x, grad) in x.chunks(g.image().max(1)).zip(grad.chunks(g.out_image().max(1))) {
                for tile in g.tiles() {
                    with_patches(g, x, tile, |patches| {
                        let sizes = (g.outputs, g.depth(), (tile.1 - tile.0) * g.out_width);
                        let grad = Matrix::rows(&grad[tile.0 * g.out_width..], g.out_pixels());
                        multiply(sizes, grad, patches.transposed(), &mut weight, g.depth(), true);
                    });
                }
                for (bias, plane) in bias.iter_mut().zip(grad.chunks(g.out_pixels())) {
                    *bias += plane.iter().sum::<f32>();
                }
            }
            (weight, bias)
        })
        .collect();
    let mut sum = (vec![0f32; g.outputs * g.depth()], vec![0f32; g.outputs]);
    for (weight, bias) in parts {
        sum.0.iter_mut().zip(weight).for_each(|(sum, part)| *sum += part);
        sum.1.iter_mut().zip(bias).for_each(|(sum, part)| *sum += part);
    }
    sum
}

struct Op(Geometry);

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
        let g = &self.0;
        let y = forward(g, values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        Ok((CpuStorage::F32(y), (g.batch, g.outputs, g.out_height, g.out_width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = &self.0;
        with_values(grad, |grad| {
            let grad_x = match x.track_op() {
                true => {
                    let values = with_values(weight, |weight| Ok(backward_input(g, grad, weight)))?;
                    Some(Tensor::from_vec(values, x.shape(), x.device())?)
                }
                false => None,
            };
            if !weight.track_op() && !bias.track_op() {
                return Ok((grad_x, None, None));
            }
            let (grad_weight, grad_bias) = with_values(x, |x| Ok(backward_weight(g, x, grad)))?;
            Ok((
                grad_x,
                Some(Tensor::from_vec(grad_weight, weight.shape(), x.device())?),
                Some(Tensor::from_vec(grad_bias, bias.shape(), x.device())?),
            ))
        })
    }
}
