//! A convolution's weights, and the choice of the algorithm that each of its uses runs.

use super::sizes::{Epilogue, Sizes};
use super::{patches, winograd};
use crate::buffer::Buffer;
use std::sync::OnceLock;

/// Weights (O, C, kh, kw) and bias (O). The forms that the algorithms need are made once.
pub(crate) struct Kernel {
    pub outputs: usize,
    pub channels: usize,
    pub size: (usize, usize),
    weight: Buffer,
    pub bias: Buffer,
    gradients: bool,
    winograd: OnceLock<winograd::WinogradWeights>,
    patches: OnceLock<patches::PatchWeights>,
    thin: OnceLock<patches::PatchWeights>,
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
        let outputs = bias.len();
        assert_eq!(weight.len(), outputs * channels * size.0 * size.1, "weights of another size");
        Self {
            outputs,
            channels,
            size,
            weight: Buffer::copy(weight),
            bias: Buffer::copy(bias),
            gradients,
            winograd: OnceLock::new(),
            patches: OnceLock::new(),
            thin: OnceLock::new(),
        }
    }

    fn winograd(&self) -> &winograd::WinogradWeights {
        let make =
            || winograd::WinogradWeights::new(&self.weight, self.outputs, self.channels, self.gradients);
        self.winograd.get_or_init(make)
    }

    fn patches(&self) -> &patches::PatchWeights {
        let taps = self.size.0 * self.size.1;
        self.patches
            .get_or_init(|| patches::PatchWeights::new(&self.weight, self.outputs, self.channels, taps))
    }

    /// The weights turned by 180°, inputs and outputs exchanged.
    fn thin(&self) -> &patches::PatchWeights {
        let taps = self.size.0 * self.size.1;
        self.thin.get_or_init(|| {
            let turned = turned(&self.weight, self.outputs, self.channels, taps);
            patches::PatchWeights::new(&turned, self.channels, self.outputs, taps)
        })
    }

    /// Whether the algorithm itself should double the images (`Sizes::doubled`).
    pub fn sees_doubled(sizes: &Sizes) -> bool {
        Algorithm::of(sizes) == Algorithm::Winograd
    }

    /// y = conv(x, w), with what the epilogue adds; x (B, H, W, C), y (B, H', W', O). With y (N·B, H', W', O) each image has
    /// N results, which differ by the epilogue alone.
    pub fn forward(&self, sizes: &Sizes, batch: usize, x: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let copies = sizes.copies(batch, y.len());
        let algorithm = Algorithm::of(sizes);
        if copies > 1 && algorithm != Algorithm::Winograd {
            for (copy, y) in y.chunks_exact_mut(batch * sizes.out_image()).enumerate() {
                self.forward(sizes, batch, x, epilogue.of_copy(copy, batch, sizes), y);
            }
            return;
        }
        match algorithm {
            Algorithm::Winograd => winograd::forward(sizes, batch, x, self.winograd(), epilogue, y),
            Algorithm::Patches => patches::forward(sizes, batch, x, self.patches(), epilogue, y),
            Algorithm::Thin(adjoint) => {
                epilogue.start(batch, sizes, y);
                patches::backward_input(&adjoint, x, self.thin(), y);
                epilogue.finish(y);
            }
        }
    }

    /// Adds the wanted gradients to those of x (B, H, W, C) and of the weights (kh·kw, C, O).
    pub fn backward(
        &self,
        sizes: &Sizes,
        batch: usize,
        x: &[f32],
        grad: &[f32],
        grad_x: Option<&mut [f32]>,
        grad_weight: Option<&mut [f32]>,
    ) {
        let (outputs, channels, taps) = (self.outputs, self.channels, sizes.taps());
        assert!(grad_weight.as_ref().is_none_or(|grad| grad.len() == taps * channels * outputs));
        match Algorithm::of(sizes) {
            Algorithm::Winograd => {
                let mut places = grad_weight.is_some().then(|| Buffer::scratch(36 * outputs * channels));
                winograd::backward(sizes, batch, x, grad, self.winograd(), grad_x, places.as_deref_mut());
                if let (Some(places), Some(grad_weight)) = (places, grad_weight) {
                    winograd::add_weight_gradient(&places, grad_weight);
                }
            }
            Algorithm::Patches => {
                if let Some(grad_x) = grad_x {
                    patches::backward_input(sizes, grad, self.patches(), grad_x);
                }
                if let Some(grad_weight) = grad_weight {
                    patches::backward_weights(sizes, x, grad, grad_weight);
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
                if let Some(grad_weight) = grad_weight {
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
