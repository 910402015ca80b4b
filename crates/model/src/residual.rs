//! The residual block, diffusers' `ResnetBlock2D`.

use crate::UNetConfig;
use crate::graph::{Graph, Sum};
use crate::layers::{Conv, Linear, Norm, POINTWISE};
use candle_core::Result;
use candle_nn::VarBuilder;
use duet_kernels::Activation;

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
        let shortcut = || Conv::new(inputs, outputs, 1, POINTWISE, vb.pp("conv_shortcut"));
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
    pub fn forward<G: Graph>(&self, graph: &mut G, x: &G::X, activated_embedding: &G::X) -> Result<G::X> {
        let h = graph.norm(x, &self.norm1, Activation::Silu)?;
        let time = graph.linear(activated_embedding, &self.time_emb_proj)?;
        let h = graph.conv(&h, &self.conv1, Sum { time: Some(&time), ..Sum::nothing() })?;
        let h = graph.norm(&h, &self.norm2, Activation::Silu)?;
        let shortcut = match &self.conv_shortcut {
            Some(shortcut) => graph.conv(x, shortcut, Sum::nothing())?,
            None => x.clone(),
        };
        let sum = Sum { time: None, residual: Some(&shortcut), scale: 1.0 / self.output_scale };
        graph.conv(&h, &self.conv2, sum)
    }
}
