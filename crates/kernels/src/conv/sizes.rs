//! The sizes of a convolution, and the operations on its result.

use std::ops::Range;

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

/// One image's convolution: (height, width, channels) → (height', width', outputs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct Sizes {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub kernel: (usize, usize),
    pub stride: usize,
    pub padding: Padding,
    /// Whether the image has half of the height and width, and each of its pixels counts as 2×2. Only
    /// Winograd's algorithm reads such images.
    pub doubled: bool,
}

impl Sizes {
    /// Height and width of the output; none if the kernel is larger than the padded input.
    pub fn checked_out(&self) -> Option<(usize, usize)> {
        let Padding { top, bottom, left, right } = self.padding;
        let along = |side: usize, kernel: usize| side.checked_sub(kernel).map(|free| free / self.stride + 1);
        Some((
            along(self.height + top + bottom, self.kernel.0)?,
            along(self.width + left + right, self.kernel.1)?,
        ))
    }

    /// Height and width of the output.
    pub fn out(&self) -> (usize, usize) {
        self.checked_out().unwrap_or((0, 0))
    }

    /// The number of values of an input image.
    pub fn image(&self) -> usize {
        self.channels * self.height * self.width / if self.doubled { 4 } else { 1 }
    }

    /// How many results of `len` values in all each of `batch` images has.
    pub fn copies(&self, batch: usize, len: usize) -> usize {
        (len / (batch * self.out_image()).max(1)).max(1)
    }

    /// The images of a batch in groups, each of which fits into the second-level cache with what is computed of it. A
    /// group's size does not depend on the batch.
    pub fn groups(&self, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        const VALUES: usize = 1 << 16;
        const PIXELS: usize = 48 * 16;
        let (height, width) = self.out();
        let enough = PIXELS.div_ceil((height * width).max(1)).next_power_of_two();
        let most = (VALUES / self.image().max(1)).max(1);
        let group = enough.max(1 << most.ilog2());
        (0..batch).step_by(group).map(move |first| first..batch.min(first + group))
    }

    /// The number of values of an output image.
    pub fn out_image(&self) -> usize {
        self.outputs * self.out().0 * self.out().1
    }

    /// The number of pixels of a kernel.
    pub fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Whether each output depends only on the input pixel at its own place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.stride == 1 && self.padding == Padding::default()
    }

    /// The convolution that turns the output's gradient into the input's. It exists for stride 1 and a
    /// padding smaller than the kernel.
    pub fn adjoint(&self) -> Option<Self> {
        let Padding { top, bottom, left, right } = self.padding;
        let (kh, kw) = (self.kernel.0 - 1, self.kernel.1 - 1);
        let fits = self.stride == 1 && top.max(bottom) <= kh && left.max(right) <= kw;
        let (height, width) = self.out();
        fits.then(|| Self {
            channels: self.outputs,
            height,
            width,
            outputs: self.channels,
            padding: Padding { top: kh - top, bottom: kh - bottom, left: kw - left, right: kw - right },
            ..*self
        })
    }
}

/// The operations on a convolution's result before it is stored: (y + bias + residual) · scale.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// (O) for all images, or (B, O) for each image.
    pub bias: &'a [f32],
    /// Images of the result's shape.
    pub residual: Option<&'a [f32]>,
    pub scale: f32,
}

impl<'a> Epilogue<'a> {
    /// That of some results.
    pub fn of(&self, results: Range<usize>, sizes: &Sizes) -> Self {
        let part = |all: &'a [f32], image: usize| &all[results.start * image..results.end * image];
        let bias = if self.bias.len() == sizes.outputs { self.bias } else { part(self.bias, sizes.outputs) };
        let residual = self.residual.map(|residual| part(residual, sizes.out_image()));
        Self { bias, residual, ..*self }
    }

    pub fn bias_of(&self, image: usize, outputs: usize) -> &'a [f32] {
        if self.bias.len() == outputs { self.bias } else { &self.bias[image * outputs..][..outputs] }
    }

    pub fn check(&self, batch: usize, len: usize, outputs: usize) {
        assert!(
            self.bias.len() == outputs || self.bias.len() == batch * outputs,
            "bias of {}",
            self.bias.len()
        );
        assert!(self.residual.is_none_or(|residual| residual.len() == len), "the residual has another size");
    }

    /// Writes bias and residual to y, to which the products are then added.
    pub fn start(&self, batch: usize, sizes: &Sizes, y: &mut [f32]) {
        self.check(batch, y.len(), sizes.outputs);
        for (image, y) in y.chunks_mut(sizes.out_image().max(1)).enumerate() {
            let bias = self.bias_of(image, sizes.outputs);
            for (pixel, y) in y.chunks_exact_mut(sizes.outputs).enumerate() {
                match self.residual {
                    Some(residual) => {
                        let from = image * sizes.out_image() + pixel * sizes.outputs;
                        let terms = bias.iter().zip(&residual[from..from + sizes.outputs]);
                        y.iter_mut().zip(terms).for_each(|(y, (bias, residual))| *y = bias + residual);
                    }
                    None => y.copy_from_slice(bias),
                }
            }
        }
    }

    /// Scales the finished sum.
    pub fn finish(&self, y: &mut [f32]) {
        if self.scale != 1.0 {
            y.iter_mut().for_each(|y| *y *= self.scale);
        }
    }
}
