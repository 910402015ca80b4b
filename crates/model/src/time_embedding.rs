//! The time embedding: a code of the timestep, then a small perceptron.

use crate::config::UNetConfig;
use crate::graph::{Addends, Graph};
use crate::layers::Linear;
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::Activation;

/// The standard deviation of the random frequencies of `fourier`.
const FOURIER_SCALE: f64 = 16.0;
/// Name of the parameter of `fourier` and `learned`, within the network.
pub(crate) const TIME_PROJ: &str = "time_proj.weight";

/// The code of a timestep, rounded as in torch. t goes up to 1000, so t times a frequency is large, and one
/// more digit of a frequency would change the code visibly.
#[derive(Debug, Clone)]
enum Code {
    /// Sines and cosines (Vaswani et al. 2017; Ho et al. 2020).
    Positional { frequencies: Vec<f32>, cosine_first: bool },
    /// Sines and cosines of ln t at fixed random frequencies (Song et al. 2021b).
    Fourier { weight: Tensor },
    /// A row of a table for each timestep.
    Learned { name: String, table: Tensor },
}

/// A code of t, then Linear–SiLU–Linear.
#[derive(Debug, Clone)]
pub(crate) struct TimeEmbedding {
    code: Code,
    inputs: usize,
    linear_1: Linear,
    linear_2: Linear,
}

impl TimeEmbedding {
    /// `vb` is the network's builder, because the table of `learned` is beside the perceptron.
    pub fn new(config: &UNetConfig, vb: &VarBuilder) -> Result<Self> {
        let (channels, width) = (config.block_out_channels[0], config.time_width());
        let normal = |stdev| Init::Randn { mean: 0.0, stdev };
        let code = match (config.time_embedding_type.as_str(), config.num_train_timesteps) {
            ("fourier", _) => {
                Code::Fourier { weight: vb.get_with_hints(channels, TIME_PROJ, normal(FOURIER_SCALE))? }
            }
            ("learned", Some(timesteps)) => Code::Learned {
                name: match vb.prefix() {
                    prefix if prefix.is_empty() => TIME_PROJ.into(),
                    prefix => format!("{prefix}.{TIME_PROJ}"),
                },
                table: vb.get_with_hints((timesteps, channels), TIME_PROJ, normal(1.0))?,
            },
            _ => Code::Positional {
                frequencies: frequencies(channels / 2, config.freq_shift),
                cosine_first: config.flip_sin_to_cos,
            },
        };
        let inputs = if matches!(code, Code::Fourier { .. }) { 2 * channels } else { channels };
        let vb = vb.pp("time_embedding");
        Ok(Self {
            code,
            inputs,
            linear_1: Linear::new(inputs, width, vb.pp("linear_1"))?,
            linear_2: Linear::new(width, width, vb.pp("linear_2"))?,
        })
    }

    /// The table of `learned`, by its parameter's name.
    pub fn table(&self) -> Option<(&str, &Tensor)> {
        match &self.code {
            Code::Learned { name, table } => Some((name, table)),
            _ => None,
        }
    }

    /// Checks a timestep; the error says what is wrong with it.
    pub fn check(&self, t: f32) -> std::result::Result<(), String> {
        match &self.code {
            _ if !t.is_finite() => Err(format!("timestep {t}: must be finite")),
            Code::Fourier { .. } if t <= 0.0 => Err(format!(
                "timestep {t}: time_embedding_type \"fourier\" takes the logarithm of t, so t must be positive"
            )),
            Code::Learned { table, .. } => match table.dims()[0] {
                rows if t >= 0.0 && t.fract() == 0.0 && (t as usize) < rows => Ok(()),
                rows => Err(format!(
                    "timestep {t}: time_embedding_type \"learned\" has a row for each of 0 to {}",
                    rows - 1
                )),
            },
            _ => Ok(()),
        }
    }

    /// Whether the prediction is divided by t. diffusers does this with `fourier`.
    pub fn divides_by_time(&self) -> bool {
        matches!(self.code, Code::Fourier { .. })
    }

    /// Timesteps (B) → (B, E).
    pub fn forward<G: Graph>(&self, graph: &mut G, t: &[f32]) -> Result<G::X> {
        let mut values = vec![0f32; t.len() * self.inputs];
        let rows = values.chunks_exact_mut(self.inputs).zip(t);
        match &self.code {
            Code::Positional { frequencies, cosine_first } => {
                for (code, &t) in rows {
                    waves(frequencies.iter().map(|frequency| t * frequency), *cosine_first, code);
                }
            }
            Code::Fourier { weight } => {
                let weight = weight.to_vec1::<f32>()?;
                for (code, &t) in rows {
                    let log = f64::from(t).ln() as f32;
                    let phase = |w: &f32| log * w * 2.0 * std::f32::consts::PI;
                    waves(weight.iter().map(phase), false, code);
                }
            }
            Code::Learned { .. } => {}
        }
        let device = self.linear_1.0.weight.device();
        let mut code = graph.embedding(&Tensor::from_vec(values, (t.len(), self.inputs), device)?)?;
        if let Code::Learned { name, table } = &self.code {
            let rows: Vec<u32> = t.iter().map(|&t| t as u32).collect();
            code = graph.add_rows(&code, name, table, &rows)?;
        }
        let hidden = graph.linear(&code, &self.linear_1, Addends::nothing())?;
        let hidden = graph.activation(&hidden, Activation::Silu)?;
        graph.linear(&hidden, &self.linear_2, Addends::nothing())
    }
}

/// f_i = 10000^(-i / (half - freq_shift)), i < half.
fn frequencies(half: usize, freq_shift: f64) -> Vec<f32> {
    let log = -(10_000f64.ln()) as f32;
    let divisor = (half as f64 - freq_shift) as f32;
    (0..half).map(|i| f64::from(log * i as f32 / divisor).exp() as f32).collect()
}

/// Sines and cosines of the phases, one half each. The rest of `code` stays 0.
fn waves(phases: impl ExactSizeIterator<Item = f32>, cosine_first: bool, code: &mut [f32]) {
    let half = phases.len();
    for (i, phase) in phases.enumerate() {
        let (sin, cos) = f64::from(phase).sin_cos();
        let (first, second) = if cosine_first { (cos, sin) } else { (sin, cos) };
        code[i] = first as f32;
        code[half + i] = second as f32;
    }
}
