//! Convolution on the tape, and the linear layer, which is a convolution of one pixel.

pub(crate) mod kernel;
mod patches;
pub mod reference;
pub(crate) mod sizes;
mod winograd;

use crate::buffer::Buffer;
use crate::elementwise::passes;
use crate::profile;
use crate::storage::with_values;
use crate::tape::{Images, Pending, Step, Tape};
use candle_core::Tensor;
use kernel::Kernel;
use sizes::{Epilogue, Padding, Sizes};
use std::ops::Range;
use std::sync::Arc;

/// Weights of a convolution or of a linear layer (a kernel of one pixel). Their gradients get the names
/// `name.weight` and `name.bias`.
pub struct ConvWeights {
    name: String,
    kernel: Kernel,
}

impl ConvWeights {
    /// Copies weights (O, C, kh, kw) and bias (O). Without `gradients`, only the forward pass is possible.
    pub fn new(
        name: impl Into<String>,
        weight: &[f32],
        bias: &[f32],
        channels: usize,
        kernel: (usize, usize),
        gradients: bool,
    ) -> Self {
        Self { name: name.into(), kernel: Kernel::new(weight, bias, channels, kernel, gradients) }
    }

    /// Makes Winograd's forms of the weights anew at each use, instead of keeping them: less memory, more time, and the
    /// same results.
    pub fn forgetting_forms(mut self) -> Self {
        self.kernel.keeps_forms = false;
        self
    }

    /// Makes the forms of the weights that a convolution of images (height, width) keeps; of doubled images, after the doubling.
    /// Otherwise they are made at the first use, for which all others wait.
    pub fn prepare(&self, (height, width): (usize, usize), stride: usize, padding: Padding) {
        let Kernel { outputs, channels, size: kernel, .. } = self.kernel;
        let sizes = Sizes { channels, height, width, outputs, kernel, stride, padding, doubled: false };
        profile::layer(&self.name, false);
        self.kernel.prepare(&sizes);
    }

    /// Takes candle tensors in f32 on the CPU: weights (O, C, kh, kw), or (O, C) for a linear layer, and
    /// bias (O). The weights are read at each first use of an algorithm, and must not change before.
    /// Errors: shapes that do not fit; the error names them.
    pub fn from_tensors(
        name: impl Into<String>,
        weight: &Tensor,
        bias: &Tensor,
        gradients: bool,
    ) -> candle_core::Result<Self> {
        let name = name.into();
        let (outputs, channels, kernel) = match *weight.dims() {
            [outputs, channels, height, width] => (outputs, channels, (height, width)),
            [outputs, channels] => (outputs, channels, (1, 1)),
            ref dims => candle_core::bail!("{name} has weights of shape {dims:?}"),
        };
        if bias.dims() != [outputs] {
            candle_core::bail!("{name} has weights {:?} and bias {:?}", weight.dims(), bias.dims());
        }
        with_values(bias, |bias| {
            let kernel = Kernel::of_tensor(weight, bias, channels, kernel, gradients)?;
            Ok(Self { name, kernel })
        })
    }
}

/// The number of values of all forms of a convolution's weights (O, C, kh, kw) that training on images (height, width)
/// keeps, and the height and width of the result.
pub fn forms_of(
    weights: &[usize],
    (height, width): (usize, usize),
    stride: usize,
    padding: Padding,
) -> (usize, (usize, usize)) {
    let [outputs, channels, kh, kw] = <[usize; 4]>::try_from(weights).unwrap_or([0; 4]);
    let sizes = Sizes { channels, height, width, outputs, kernel: (kh, kw), stride, padding, doubled: false };
    (Kernel::forms(&sizes), sizes.out())
}

/// The terms that are added to a convolution's result before it is stored: (y + time + residual) · scale.
#[derive(Clone, Copy)]
pub struct Sum<'a> {
    /// (B, 1, 1, O): one value for each image and channel. On a tape that only runs forward also (N·B, 1, 1, O): each image
    /// then has N results, those of the first terms first, for the price of one convolution.
    pub time: Option<&'a Images>,
    /// Images of the result's shape.
    pub residual: Option<&'a Images>,
    /// Factor of the sum.
    pub scale: f32,
}

impl Sum<'_> {
    /// The result alone.
    pub const NOTHING: Sum<'static> = Sum { time: None, residual: None, scale: 1.0 };
}

impl Tape {
    /// Convolution, (B, H, W, C) → (B, H', W', O), plus `sum`.
    pub fn conv(
        &mut self,
        x: &Images,
        weights: &Arc<ConvWeights>,
        stride: usize,
        padding: Padding,
        sum: Sum,
    ) -> Images {
        let sizes = sizes(x, &weights.kernel, stride, padding, 1);
        self.convolve(x, weights, sizes, sum)
    }

    /// The images, `copies` times over, on a tape that only runs forward.
    pub fn repeated(&mut self, x: &Images, copies: usize) -> Images {
        assert!(!self.records, "repeated images have no gradient");
        let [batch, height, width, channels] = x.shape;
        let mut y = Buffer::scratch(copies * x.len());
        y.chunks_exact_mut(x.len().max(1)).for_each(|y| y.copy_from_slice(&x.values));
        self.push([copies * batch, height, width, channels], y, false, None)
    }

    /// Nearest-neighbour doubling of height and width, then a convolution of stride 1.
    pub fn conv_of_doubled(
        &mut self,
        x: &Images,
        weights: &Arc<ConvWeights>,
        padding: Padding,
        sum: Sum,
    ) -> Images {
        let sizes = sizes(x, &weights.kernel, 1, padding, 2);
        if Kernel::is_winograd(&sizes) {
            return self.convolve(x, weights, Sizes { doubled: true, ..sizes }, sum);
        }
        let doubled = self.double(x);
        self.convolve(&doubled, weights, sizes, sum)
    }

    fn convolve(&mut self, x: &Images, weights: &Arc<ConvWeights>, mut sizes: Sizes, sum: Sum) -> Images {
        let _span = profile::operation(&weights.name, false);
        let (batch, channels, kernel) = (x.shape[0], sizes.channels, &weights.kernel);
        assert_eq!(x.shape[3], kernel.channels, "channels of x and weights of {}", weights.name);
        let (out_height, out_width) = sizes.out();
        // Each image has as many results as it has time terms.
        let copies = sum.time.map_or(1, |time| time.shape[0] / batch.max(1)).max(1);
        assert!(copies == 1 || !self.records, "several results of an image have no gradient");
        let shape = [copies * batch, out_height, out_width, kernel.outputs];
        // If no output depends on several pixels, the batch is computed as one long image.
        let mut parts = batch;
        if sizes.is_pointwise() && sum.time.is_none() {
            (sizes.height, sizes.width, parts) = (batch * sizes.height * sizes.width, 1, 1);
        }
        let mut bias = Buffer::copy(&kernel.bias);
        if let Some(time) = sum.time {
            assert_eq!(
                time.shape,
                [copies * batch, 1, 1, kernel.outputs],
                "the time term of {}",
                weights.name
            );
            bias = Buffer::copy(&time.values);
            bias.chunks_exact_mut(kernel.outputs).for_each(|row| passes::add(row, &kernel.bias));
        }
        let residual = sum.residual.map(|residual| residual.values());
        self.multiply_adds += (shape.iter().product::<usize>() / copies * channels * sizes.taps()) as u64;
        let mut y = Buffer::scratch(shape.iter().product());
        let epilogue = Epilogue { bias: &bias, residual, scale: sum.scale };
        match x.values.unknown().filter(|_| copies == 1 && Kernel::is_winograd(&sizes)) {
            Some(way) => kernel.forward_in_parts(&sizes, batch, |images| way.part(images), epilogue, &mut y),
            None => kernel.forward(&sizes, parts, &x.values, epilogue, &mut y),
        }
        let step = self.records.then(|| {
            let (x, weights, scale) = (x.kept(), weights.clone(), sum.scale);
            let (time, residual) = (sum.time.map(Images::hollow), sum.residual.map(Images::hollow));
            let pixels = out_height * out_width;
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                profile::layer(&weights.name, true);
                let kernel = &weights.kernel;
                if scale != 1.0 {
                    passes::scale(&mut grad, scale);
                }
                let mut sums = Buffer::scratch(batch * kernel.outputs);
                let mut sum_pixels = |images: Range<usize>, grad: &[f32]| {
                    let image = pixels * kernel.outputs;
                    let grad = &grad[images.start * image..images.end * image];
                    let sums = &mut sums[images.start * kernel.outputs..images.end * kernel.outputs];
                    passes::sum_pixels(grad, kernel.outputs, pixels, sums);
                };
                let shape = (sizes.taps(), kernel.channels, kernel.outputs);
                let name = format!("{}.weight", weights.name);
                match x.values.unknown().filter(|_| Kernel::is_winograd(&sizes)) {
                    // Its gradient goes on through what x is computed by, part after part.
                    Some(way) => {
                        let mut back = x.tracked.then(|| way.way_back(pending));
                        let part = |images: Range<usize>| {
                            sum_pixels(images.clone(), &grad);
                            way.part(images)
                        };
                        let take = back.as_mut().map(|back| {
                            |images: Range<usize>, grad: &[f32]| {
                                back.part(images, grad);
                                profile::layer(&weights.name, true);
                            }
                        });
                        let grad_weight = pending.parameters.taps_first(name, shape);
                        kernel.backward_in_parts(&sizes, batch, part, &grad, take, grad_weight);
                        if let Some(back) = back {
                            back.finish(pending);
                        }
                    }
                    None => {
                        sum_pixels(0..batch, &grad);
                        // Take it out, so that both gradients can be borrowed at the same time.
                        let mut grad_x =
                            x.tracked.then(|| pending.take(&x).unwrap_or_else(|| Buffer::zeros(x.len())));
                        let (to_x, to_weight) =
                            (grad_x.as_deref_mut(), pending.parameters.taps_first(name, shape));
                        kernel.backward(&sizes, parts, &x.values, &grad, to_x, Some(to_weight));
                        if let Some(grad_x) = grad_x {
                            pending.give(&x, grad_x);
                        }
                    }
                }
                let grad_bias = pending.parameters.slot(format!("{}.bias", weights.name), kernel.outputs);
                sums.chunks_exact(kernel.outputs).for_each(|row| passes::add(grad_bias, row));
                if let Some(time) = time {
                    pending.give(&time, sums);
                }
                if let Some(residual) = residual {
                    pending.give(&residual, grad);
                }
            };
            Box::new(step) as Step
        });
        self.push(shape, y, true, step)
    }

    /// Linear layer on the channels, (B, H, W, C) → (B, H, W, O), plus `sum` (without time).
    pub fn linear(&mut self, x: &Images, weights: &Arc<ConvWeights>, sum: Sum) -> Images {
        self.conv(x, weights, 1, Padding::default(), sum)
    }
}

/// The sizes of a convolution of images that count as `times` as high and wide.
fn sizes(x: &Images, kernel: &Kernel, stride: usize, padding: Padding, times: usize) -> Sizes {
    let [_, height, width, channels] = x.shape;
    let (height, width) = (times * height, times * width);
    let (outputs, kernel) = (kernel.outputs, kernel.size);
    Sizes { channels, height, width, outputs, kernel, stride, padding, doubled: false }
}
