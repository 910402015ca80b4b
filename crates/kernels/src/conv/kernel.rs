//! A convolution's weights, and the choice of the algorithm that each of its uses runs.

use super::sizes::{Epilogue, Sizes};
use super::winograd::{Forms, WinogradWeights};
use super::{patches, winograd};
use crate::buffer::Buffer;
use crate::storage::with_values;
use crate::tape::WeightGradient;
use candle_core::Tensor;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

/// Weights (O, C, kh, kw) and bias (O). The forms that the algorithms need are made once.
pub(crate) struct Kernel {
    pub outputs: usize,
    pub channels: usize,
    pub size: (usize, usize),
    weight: Source,
    pub bias: Buffer,
    gradients: bool,
    /// Whether Winograd's forms of the weights, which take four times their memory each, are kept once they are made.
    pub keeps_forms: bool,
    winograd: OnceLock<WinogradWeights>,
    patches: OnceLock<patches::PatchWeights>,
    thin: OnceLock<patches::PatchWeights>,
}

/// Weights in the form that products need.
enum Form<'a> {
    Kept(&'a WinogradWeights),
    Made(WinogradWeights),
}

impl Deref for Form<'_> {
    type Target = WinogradWeights;

    fn deref(&self) -> &WinogradWeights {
        match self {
            Self::Kept(weights) => weights,
            Self::Made(weights) => weights,
        }
    }
}

/// Where the weights (O, C, kh, kw) are.
enum Source {
    Values(Buffer),
    Tensor(Tensor),
}

impl Source {
    fn read<R>(&self, read: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Self::Values(values) => read(values),
            Self::Tensor(tensor) => match with_values(tensor, |values| Ok(read(values))) {
                Ok(result) => result,
                Err(error) => unreachable!("weights that were read before: {error}"),
            },
        }
    }
}

/// The algorithm for a convolution of given sizes. It does not depend on the batch, so that the result for
/// one image does not depend on the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Winograd,
    Patches,
    /// For few outputs: the adjoint of the convolution with inputs and outputs exchanged. The few are then
    /// on the side of the unfolded patches, and the many in the vector registers.
    Thin(Sizes),
}

impl Algorithm {
    fn of(sizes: &Sizes) -> Self {
        match sizes.adjoint() {
            _ if winograd::applies(sizes) => Self::Winograd,
            Some(adjoint) if sizes.outputs < 8 && sizes.channels > 2 * sizes.outputs && sizes.taps() > 1 => {
                Self::Thin(adjoint)
            }
            _ => Self::Patches,
        }
    }
}

impl Kernel {
    /// Copies weights (O, C, kh, kw) and bias (O). Without `gradients`, only the forward pass is possible.
    pub fn new(weight: &[f32], bias: &[f32], channels: usize, size: (usize, usize), gradients: bool) -> Self {
        assert_eq!(weight.len(), bias.len() * channels * size.0 * size.1, "weights of another size");
        Self::of(Source::Values(Buffer::copy(weight)), bias, channels, size, gradients)
    }

    /// The same of a tensor in f32 on the CPU, which is not copied. Its values must stay the same.
    pub fn of_tensor(
        weight: &Tensor,
        bias: &[f32],
        channels: usize,
        size: (usize, usize),
        gradients: bool,
    ) -> candle_core::Result<Self> {
        with_values(weight, |weight| {
            assert_eq!(weight.len(), bias.len() * channels * size.0 * size.1, "weights of another size");
            Ok(())
        })?;
        Ok(Self::of(Source::Tensor(weight.clone()), bias, channels, size, gradients))
    }

    fn of(weight: Source, bias: &[f32], channels: usize, size: (usize, usize), gradients: bool) -> Self {
        Self {
            outputs: bias.len(),
            channels,
            size,
            weight,
            bias: Buffer::copy(bias),
            gradients,
            keeps_forms: true,
            winograd: OnceLock::new(),
            patches: OnceLock::new(),
            thin: OnceLock::new(),
        }
    }

    /// The form of the weights for a direction: the kept one, or a new one.
    fn winograd(&self, form: Forms) -> Form<'_> {
        let make = |forms| {
            self.weight.read(|weight| WinogradWeights::new(weight, self.outputs, self.channels, forms))
        };
        if !self.keeps_forms {
            return Form::Made(make(form));
        }
        let forms = if self.gradients { Forms::Both } else { Forms::Forward };
        Form::Kept(self.winograd.get_or_init(|| make(forms)))
    }

    fn patches(&self) -> &patches::PatchWeights {
        let taps = self.size.0 * self.size.1;
        let make = |weight: &[f32]| patches::PatchWeights::new(weight, self.outputs, self.channels, taps);
        self.patches.get_or_init(|| self.weight.read(make))
    }

    /// The weights turned by 180°, inputs and outputs exchanged.
    fn thin(&self) -> &patches::PatchWeights {
        let taps = self.size.0 * self.size.1;
        let make = |weight: &[f32]| {
            let turned = turned(weight, self.outputs, self.channels, taps);
            patches::PatchWeights::new(&turned, self.channels, self.outputs, taps)
        };
        self.thin.get_or_init(|| self.weight.read(make))
    }

    /// Makes the forms that are kept for a convolution of these sizes.
    pub fn prepare(&self, sizes: &Sizes) {
        match Algorithm::of(sizes) {
            // Where forms are kept, each direction's comes with all that are.
            Algorithm::Winograd if self.keeps_forms => drop(self.winograd(Forms::Forward)),
            Algorithm::Winograd => {}
            Algorithm::Patches => drop(self.patches()),
            Algorithm::Thin(_) => drop(self.thin()),
        }
    }

    /// The number of values of the weights' forms for both directions.
    pub fn forms(sizes: &Sizes) -> usize {
        let (channels, outputs) = (sizes.channels, sizes.outputs);
        2 * match Algorithm::of(sizes) {
            Algorithm::Winograd => winograd::planes(channels * outputs),
            _ => sizes.taps() * channels * outputs,
        }
    }

    /// Whether Winograd's algorithm is used. It alone can double the images itself (`Sizes::doubled`), and take a few of
    /// them at a time.
    pub fn is_winograd(sizes: &Sizes) -> bool {
        Algorithm::of(sizes) == Algorithm::Winograd
    }

    /// y = conv(x, w), with what the epilogue adds; x (B, H, W, C), y (B, H', W', O). With y (N·B, H', W', O) each image has
    /// N results, which differ by the epilogue alone.
    pub fn forward(&self, sizes: &Sizes, batch: usize, x: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let copies = sizes.copies(batch, y.len());
        let algorithm = Algorithm::of(sizes);
        if copies > 1 && algorithm != Algorithm::Winograd {
            for (copy, y) in y.chunks_exact_mut(batch * sizes.out_image()).enumerate() {
                self.forward(sizes, batch, x, epilogue.of(copy * batch..(copy + 1) * batch, sizes), y);
            }
            return;
        }
        match algorithm {
            Algorithm::Winograd => {
                winograd::forward(sizes, batch, x, &self.winograd(Forms::Forward), epilogue, y)
            }
            Algorithm::Patches => patches::forward(sizes, batch, x, self.patches(), epilogue, y),
            Algorithm::Thin(adjoint) => {
                epilogue.start(batch, sizes, y);
                patches::backward_input(&adjoint, x, self.thin(), y);
                epilogue.finish(y);
            }
        }
    }

    /// As `forward`, where x (B, H, W, C) is given in parts.
    pub fn forward_in_parts(
        &self,
        sizes: &Sizes,
        batch: usize,
        x: impl Fn(Range<usize>) -> Buffer,
        epilogue: Epilogue,
        y: &mut [f32],
    ) {
        let weights = self.winograd(Forms::Forward);
        for images in sizes.groups(batch) {
            let y = &mut y[images.start * sizes.out_image()..images.end * sizes.out_image()];
            let (x, epilogue) = (x(images.clone()), epilogue.of(images.clone(), sizes));
            winograd::forward(sizes, images.len(), &x, &weights, epilogue, y);
        }
    }

    /// Adds the gradient of the weights, where x (B, H, W, C) is given in parts; `take` gets that of x, if it is wanted, in the
    /// same parts.
    pub fn backward_in_parts(
        &self,
        sizes: &Sizes,
        batch: usize,
        mut x: impl FnMut(Range<usize>) -> Buffer,
        grad: &[f32],
        mut take: Option<impl FnMut(Range<usize>, &[f32])>,
        grad_weight: WeightGradient,
    ) {
        let mut places = Buffer::scratch(winograd::planes(self.channels * self.outputs));
        let weights = self.winograd(Forms::Backward);
        for images in sizes.groups(batch) {
            let x = x(images.clone());
            let mut grad_x = take.is_some().then(|| Buffer::zeros(x.len()));
            let grads = winograd::Grads {
                x: grad_x.as_deref_mut(),
                places: Some(&mut places),
                places_are_new: images.start == 0,
            };
            let grad = &grad[images.start * sizes.out_image()..images.end * sizes.out_image()];
            winograd::backward(sizes, images.len(), &x, grad, &weights, grads);
            if let (Some(take), Some(grad_x)) = (&mut take, grad_x) {
                take(images, &grad_x);
            }
        }
        winograd::add_weight_gradient(&places, grad_weight);
    }

    /// Adds the wanted gradients to those of x (B, H, W, C) and of the weights (kh·kw, C, O).
    pub fn backward(
        &self,
        sizes: &Sizes,
        batch: usize,
        x: &[f32],
        grad: &[f32],
        grad_x: Option<&mut [f32]>,
        grad_weight: Option<WeightGradient>,
    ) {
        let (outputs, channels, taps) = (self.outputs, self.channels, sizes.taps());
        assert!(grad_weight.as_ref().is_none_or(|grad| grad.values.len() == taps * channels * outputs));
        match Algorithm::of(sizes) {
            Algorithm::Winograd => {
                let mut places =
                    grad_weight.is_some().then(|| Buffer::scratch(winograd::planes(channels * outputs)));
                let grads =
                    winograd::Grads { x: grad_x, places: places.as_deref_mut(), places_are_new: true };
                winograd::backward(sizes, batch, x, grad, &self.winograd(Forms::Backward), grads);
                if let (Some(places), Some(grad_weight)) = (places, grad_weight) {
                    winograd::add_weight_gradient(&places, grad_weight);
                }
            }
            Algorithm::Patches => {
                if let Some(grad_x) = grad_x {
                    patches::backward_input(sizes, grad, self.patches(), grad_x);
                }
                if let Some(grad_weight) = grad_weight {
                    patches::backward_weights(sizes, x, grad, grad_weight.sum());
                }
            }
            Algorithm::Thin(adjoint) => {
                if let Some(grad_x) = grad_x {
                    let zeros = vec![0.0; channels];
                    let mut part = Buffer::scratch(grad_x.len());
                    let epilogue = Epilogue { bias: &zeros, residual: Some(grad_x), scale: 1.0 };
                    patches::forward(&adjoint, batch, grad, self.thin(), epilogue, &mut part);
                    grad_x.copy_from_slice(&part);
                }
                if let Some(grad_weight) = grad_weight.map(WeightGradient::sum) {
                    // The gradient of the turned kernel, with inputs and outputs exchanged: (taps, O, C).
                    let mut turned = Buffer::zeros(grad_weight.len());
                    patches::backward_weights(&adjoint, grad, x, &mut turned);
                    for tap in 0..taps {
                        for c in 0..channels {
                            for o in 0..outputs {
                                grad_weight[(tap * channels + c) * outputs + o] +=
                                    turned[((taps - 1 - tap) * outputs + o) * channels + c];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// (O, C, taps) as (C, O, taps), each kernel turned by 180°.
fn turned(weight: &[f32], outputs: usize, channels: usize, taps: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(weight.len());
    for c in 0..channels {
        for o in 0..outputs {
            let first = (o * channels + c) * taps;
            out.extend(weight[first..first + taps].iter().rev());
        }
    }
    out
}
