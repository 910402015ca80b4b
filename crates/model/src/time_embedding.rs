//! The time embedding: a code of the timestep, then a small perceptron.

use crate::config::UNetConfig;
use crate::graph::{Addends, Graph};
use crate::layers::Linear;
use crate::waves::{Kind, Waves};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::Activation;

/// The standard deviation of the random frequencies of `fourier`.
const FOURIER_SCALE: f64 = 16.0;
/// Name of the parameter of `fourier` and `learned`, within the network.
pub(crate) const TIME_PROJ: &str = "time_proj.weight";

/// The code of a timestep.
#[derive(Debug, Clone)]
enum Code {
    Waves(Waves),
    /// A row of a table for each timestep.
    Learned {
        name: String,
        table: Tensor,
    },
}

/// A code of t, then Linear–SiLU–Linear.
#[derive(Debug, Clone)]
pub(crate) struct TimeEmbedding {
    code: Code,
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
                let weight = vb.get_with_hints(channels, TIME_PROJ, normal(FOURIER_SCALE))?;
                Code::Waves(Waves::fourier(weight)?)
            }
            ("learned", Some(timesteps)) => Code::Learned {
                name: match vb.prefix() {
                    prefix if prefix.is_empty() => TIME_PROJ.into(),
                    prefix => format!("{prefix}.{TIME_PROJ}"),
                },
                table: vb.get_with_hints((timesteps, channels), TIME_PROJ, normal(1.0))?,
            },
            _ => Code::Waves(Waves::positional(channels, config.freq_shift, config.flip_sin_to_cos)),
        };
        let inputs = match &code {
            Code::Waves(waves) => waves.width,
            Code::Learned { .. } => channels,
        };
        let vb = vb.pp("time_embedding");
        Ok(Self {
            code,
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
            Code::Waves(Waves { kind: Kind::Fourier { .. }, .. }) if t <= 0.0 => Err(format!(
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
        matches!(&self.code, Code::Waves(Waves { kind: Kind::Fourier { .. }, .. }))
    }

    /// Timesteps (B) → (B, E).
    pub fn forward<G: Graph>(&self, graph: &mut G, t: &G::Times) -> Result<G::X> {
        let code = match &self.code {
            Code::Waves(waves) => graph.waves(t, waves)?,
            Code::Learned { name, table } => graph.rows_of_times(t, name, table)?,
        };
        let hidden = graph.linear(&code, &self.linear_1, Addends::nothing())?;
        let hidden = graph.activation(&hidden, Activation::Silu)?;
        graph.linear(&hidden, &self.linear_2, Addends::nothing())
    }
}
