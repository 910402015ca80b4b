//! The layers with parameters: their names, shapes and initial values.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::{Conv2d, Padding};

/// A convolution in which each output pixel depends on one input pixel.
pub(crate) const POINTWISE: Conv2d =
    Conv2d { stride: 1, padding: Padding { top: 0, bottom: 0, left: 0, right: 0 } };

/// A weight and a bias: the parameters `name.weight` and `name.bias`.
#[derive(Debug, Clone)]
pub(crate) struct WeightAndBias {
    pub name: String,
    pub weight: Tensor,
    pub bias: Tensor,
}

impl WeightAndBias {
    /// torch's initial distribution: uniform in ±1/√fan_in, weight and bias.
    fn uniform(shape: &[usize], vb: &VarBuilder) -> Result<Self> {
        let bound = 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get_with_hints(shape, "weight", init)?;
        let bias = vb.get_with_hints(shape[0], "bias", init)?;
        Ok(Self { name: vb.prefix(), weight, bias })
    }
}

/// Convolution, (B, C, H, W) → (B, O, H', W').
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    pub affine: WeightAndBias,
    pub options: Conv2d,
}

impl Conv {
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        options: Conv2d,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self { affine: WeightAndBias::uniform(&[outputs, inputs, kernel, kernel], &vb)?, options })
    }

    /// A 3×3 convolution with a padding of one zero. It keeps the size.
    pub fn same(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Self::new(inputs, outputs, 3, Conv2d { stride: 1, padding: Padding::all(1) }, vb)
    }
}

/// Linear layer, (..., I) → (..., O).
#[derive(Debug, Clone)]
pub(crate) struct Linear(pub WeightAndBias);

impl Linear {
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self(WeightAndBias::uniform(&[outputs, inputs], &vb)?))
    }

    /// The same without a bias: it is 0 and no parameter.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight =
            vb.get_with_hints((outputs, inputs), "weight", Init::Uniform { lo: -bound, up: bound })?;
        let bias = Tensor::zeros(outputs, weight.dtype(), weight.device())?;
        Ok(Self(WeightAndBias { name: vb.prefix(), weight, bias }))
    }
}

/// Group normalisation of (B, C, ...), with or without a SiLU after it.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub affine: WeightAndBias,
    pub groups: usize,
    pub eps: f64,
}

impl Norm {
    pub fn new(channels: usize, groups: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
        Ok(Self { affine: WeightAndBias { name: vb.prefix(), weight, bias }, groups, eps })
    }
}
