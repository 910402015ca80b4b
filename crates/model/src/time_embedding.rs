//! What the network is told about time: a sinusoidal code through a small perceptron.

use crate::UNetConfig;
use crate::layers::Linear;
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

/// Sinusoidal time embedding (Vaswani et al. 2017; Ho et al. 2020), then Linear–SiLU–Linear.
#[derive(Debug, Clone)]
pub(crate) struct TimeEmbedding {
    frequencies: Vec<f32>,
    cosine_first: bool,
    linear_1: Linear,
    linear_2: Linear,
}

impl TimeEmbedding {
    pub fn new(config: &UNetConfig, vb: VarBuilder) -> Result<Self> {
        let (inputs, width) = (config.block_out_channels[0], config.time_width());
        let half = inputs / 2;
        // f_i = 10000^(-i / (half - freq_shift))
        let frequency =
            |i: usize| (-(10_000f64.ln()) * i as f64 / (half as f64 - config.freq_shift)).exp() as f32;
        Ok(Self {
            frequencies: (0..half).map(frequency).collect(),
            cosine_first: config.flip_sin_to_cos,
            linear_1: Linear::new(inputs, width, vb.pp("linear_1"))?,
            linear_2: Linear::new(width, width, vb.pp("linear_2"))?,
        })
    }

    /// t (B) → (B, E).
    pub fn forward(&self, t: &Tensor) -> Result<Tensor> {
        let frequencies = Tensor::new(self.frequencies.as_slice(), t.device())?;
        let angles = t.to_dtype(DType::F32)?.unsqueeze(1)?.broadcast_mul(&frequencies.unsqueeze(0)?)?;
        let (sin, cos) = (angles.sin()?, angles.cos()?);
        let code = match self.cosine_first {
            true => Tensor::cat(&[cos, sin], 1)?,
            false => Tensor::cat(&[sin, cos], 1)?,
        };
        self.linear_2.forward(&self.linear_1.forward(&code)?.silu()?)
    }
}
