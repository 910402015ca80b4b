//! Self-attention over the pixels of a feature map, diffusers' `Attention` in its U-Net form.

use crate::config::UNetConfig;
use crate::graph::{Addends, Graph};
use crate::layers::{Linear, Norm};
use candle_core::Result;
use candle_nn::VarBuilder;
use duet_kernels::Activation;

/// Multi-head scaled dot-product attention (Vaswani et al. 2017) with the residual inside.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    group_norm: Option<Norm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    output_scale: f64,
}

impl Attention {
    pub fn new(
        config: &UNetConfig,
        channels: usize,
        groups: Option<usize>,
        output_scale: f64,
        vb: VarBuilder,
    ) -> Result<Self> {
        let head_width = config.attention_head_dim.unwrap_or(channels);
        let heads = channels / head_width;
        let inner = heads * head_width;
        let norm = |groups| Norm::new(channels, groups, config.norm_eps, vb.pp("group_norm"));
        Ok(Self {
            group_norm: groups.map(norm).transpose()?,
            to_q: Linear::new(channels, inner, vb.pp("to_q"))?,
            to_k: Linear::new(channels, inner, vb.pp("to_k"))?,
            to_v: Linear::new(channels, inner, vb.pp("to_v"))?,
            to_out: Linear::new(inner, channels, vb.pp("to_out.0"))?,
            heads,
            output_scale,
        })
    }

    /// x (B, C, H, W) → (B, C, H, W).
    pub fn forward<G: Graph>(&self, graph: &mut G, x: &G::X) -> Result<G::X> {
        let tokens = match &self.group_norm {
            Some(norm) => graph.norm(x, norm, Activation::None, None)?,
            None => x.clone(),
        };
        let q = graph.pointwise(&tokens, &self.to_q, Addends::nothing())?;
        let k = graph.pointwise(&tokens, &self.to_k, Addends::nothing())?;
        let v = graph.pointwise(&tokens, &self.to_v, Addends::nothing())?;
        let mixed = graph.attention([&q, &k, &v], self.heads)?;
        let sum = Addends { time: None, residual: Some(x), scale: 1.0 / self.output_scale };
        graph.pointwise(&mixed, &self.to_out, sum)
    }
}
