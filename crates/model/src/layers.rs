//! The layers with parameters, each in one place: shapes, initial values and the op behind them.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::{Activation, Conv2d, GroupNorm, Padding};

/// A weight and a bias.
#[derive(Debug, Clone)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    /// torch's initial distribution: uniform in ±1/√fan_in, weight and bias.
    fn uniform(shape: &[usize], vb: &VarBuilder) -> Result<Self> {
        let bound = 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get_with_hints(shape, "weight", init)?;
        let bias = vb.get_with_hints(shape[0], "bias", init)?;
        Ok(Self { weight, bias })
    }
}

/// Convolution, (B, C, H, W) → (B, O, H', W').
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    affine: Affine,
    options: Conv2d,
}

impl Conv {
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        options: Conv2d,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self { affine: Affine::uniform(&[outputs, inputs, kernel, kernel], &vb)?, options })
    }

    /// 3×3 with one zero around, which keeps the size.
    pub fn same(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Self::new(inputs, outputs, 3, Conv2d { stride: 1, padding: Padding::all(1) }, vb)
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        duet_kernels::conv2d(x, &self.affine.weight, &self.affine.bias, self.options)
    }
}

/// Linear layer, (..., I) → (..., O).
#[derive(Debug, Clone)]
pub(crate) struct Linear(Affine);

impl Linear {
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self(Affine::uniform(&[outputs, inputs], &vb)?))
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        duet_kernels::linear(x, &self.0.weight, &self.0.bias)
    }
}

/// Group normalisation of (B, C, ...), with or without a SiLU after it.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    affine: Affine,
    groups: usize,
    eps: f64,
}

impl Norm {
    pub fn new(channels: usize, groups: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
        Ok(Self { affine: Affine { weight, bias }, groups, eps })
    }

    pub fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let options = GroupNorm { groups: self.groups, eps: self.eps, activation };
        duet_kernels::group_norm(x, &self.affine.weight, &self.affine.bias, options)
    }
}
