//! The residual block, diffusers' `ResnetBlock2D`.

use crate::UNetConfig;
use crate::layers::{Conv, Linear, Norm};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use duet_kernels::{Activation, Conv2d, Padding};

/// norm → SiLU → conv → + time → norm → SiLU → conv, plus the input through a shortcut.
#[derive(Debug, Clone)]
pub(crate) struct Residual {
    norm1: Norm,
    conv1: Conv,
    time_emb_proj: Linear,
    norm2: Norm,
    conv2: Conv,
    conv_shortcut: Option<Conv>,
    output_scale: f64,
}

impl Residual {
    pub fn new(
        config: &UNetConfig,
        inputs: usize,
        outputs: usize,
        output_scale: f64,
        vb: VarBuilder,
    ) -> Result<Self> {
        let norm = |channels, name| Norm::new(channels, config.norm_num_groups, config.norm_eps, vb.pp(name));
        let pointwise = Conv2d { stride: 1, padding: Padding::default() };
        let shortcut = || Conv::new(inputs, outputs, 1, pointwise, vb.pp("conv_shortcut"));
        Ok(Self {
            norm1: norm(inputs, "norm1")?,
            conv1: Conv::same(inputs, outputs, vb.pp("conv1"))?,
            time_emb_proj: Linear::new(config.time_width(), outputs, vb.pp("time_emb_proj"))?,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv::same(outputs, outputs, vb.pp("conv2"))?,
            conv_shortcut: (inputs != outputs).then(shortcut).transpose()?,
            output_scale,
        })
    }

    /// x (B, C, H, W) and SiLU of the embedding (B, E) → (B, O, H, W).
    pub fn forward(&self, x: &Tensor, activated_embedding: &Tensor) -> Result<Tensor> {
        let h = self.conv1.forward(&self.norm1.forward(x, Activation::Silu)?)?;
        let time = self.time_emb_proj.forward(activated_embedding)?.unsqueeze(2)?.unsqueeze(3)?;
        let h = h.broadcast_add(&time)?;
        let h = self.conv2.forward(&self.norm2.forward(&h, Activation::Silu)?)?;
        let sum = match &self.conv_shortcut {
            Some(shortcut) => (shortcut.forward(x)? + h)?,
            None => (x + h)?,
        };
        if self.output_scale == 1.0 { Ok(sum) } else { sum / self.output_scale }
    }
}
