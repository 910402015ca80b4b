//! Self-attention over the pixels of a feature map, diffusers' `Attention` in its U-Net form.

use crate::UNetConfig;
use crate::layers::{Linear, Norm};
use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use duet_kernels::Activation;

/// Multi-head scaled dot-product attention (Vaswani et al. 2017) with the residual inside.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    group_norm: Norm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    head_width: usize,
    output_scale: f64,
}

impl Attention {
    pub fn new(
        config: &UNetConfig,
        channels: usize,
        groups: usize,
        output_scale: f64,
        vb: VarBuilder,
    ) -> Result<Self> {
        let head_width = config.attention_head_dim.unwrap_or(channels);
        let heads = channels / head_width;
        let inner = heads * head_width;
        Ok(Self {
            group_norm: Norm::new(channels, groups, config.norm_eps, vb.pp("group_norm"))?,
            to_q: Linear::new(channels, inner, vb.pp("to_q"))?,
            to_k: Linear::new(channels, inner, vb.pp("to_k"))?,
            to_v: Linear::new(channels, inner, vb.pp("to_v"))?,
            to_out: Linear::new(inner, channels, vb.pp("to_out.0"))?,
            heads,
            head_width,
            output_scale,
        })
    }

    /// x (B, C, H, W) → (B, C, H, W).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let pixels = height * width;
        let tokens = self.group_norm.forward(x, Activation::None)?;
        let tokens = tokens.reshape((batch, channels, pixels))?.transpose(1, 2)?.contiguous()?;
        // (B, heads, pixels, head width)
        let split = |layer: &Linear| {
            let y = layer.forward(&tokens)?.reshape((batch, pixels, self.heads, self.head_width))?;
            y.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split(&self.to_q)?, split(&self.to_k)?, split(&self.to_v)?);
        let scores = (q.matmul(&k.t()?)? / (self.head_width as f64).sqrt())?;
        // candle's fused softmax has no gradient; this one is made of ops that do.
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        let mixed = mixed.transpose(1, 2)?.reshape((batch, pixels, self.heads * self.head_width))?;
        let out = self.to_out.forward(&mixed)?.transpose(1, 2)?.reshape((batch, channels, height, width))?;
        let sum = (out + x)?;
        if self.output_scale == 1.0 { Ok(sum) } else { sum / self.output_scale }
    }
}
