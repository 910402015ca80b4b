//! What the network is told about time: a sinusoidal code through a small perceptron.

use crate::UNetConfig;
use crate::graph::Graph;
use crate::layers::Linear;
use candle_core::{Result, Tensor};
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

    /// The sinusoidal code (B, C) of timesteps (B).
    pub fn code(&self, t: &[f32]) -> Result<Tensor> {
        let half = self.frequencies.len();
        let mut code = vec![0f32; t.len() * 2 * half];
        for (code, &t) in code.chunks_exact_mut(2 * half).zip(t) {
            for (i, &frequency) in self.frequencies.iter().enumerate() {
                let (sin, cos) = (t * frequency).sin_cos();
                let (first, second) = if self.cosine_first { (cos, sin) } else { (sin, cos) };
                code[i] = first;
                code[half + i] = second;
            }
        }
        Tensor::from_vec(code, (t.len(), 2 * half), self.linear_1.0.weight.device())
    }

    /// The code (B, C) → (B, E).
    pub fn forward<G: Graph>(&self, graph: &mut G, code: &Tensor) -> Result<G::X> {
        let code = graph.embedding(code)?;
        let hidden = graph.linear(&code, &self.linear_1)?;
        let hidden = graph.silu(&hidden)?;
        graph.linear(&hidden, &self.linear_2)
    }
}
