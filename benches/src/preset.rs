//! What is timed: the networks and the training of configs/digits.toml and configs/original.toml, and a
//! wider network.

use duet_model::{SampleSize, UNetConfig};
use duet_train::{Diffusion, TrainOptions};
use serde::Deserialize;

const DIGITS: &str = include_str!("../../configs/digits.toml");
/// It names every key that is needed here.
const ORIGINAL: &str = include_str!("../../configs/original.toml");

/// Digits, and after them the null label.
pub const CLASS_ROWS: usize = 11;
/// Widths of the second network that is timed, level by level.
const WIDE: [usize; 3] = [32, 64, 64];

/// The tables of the preset that the benchmarks need; the runner refuses unknown keys.
#[derive(Debug, Clone, Deserialize)]
pub struct Preset {
    model: Model,
    /// Schedule and prediction.
    pub diffusion: Diffusion,
    /// Everything that a training step does: dropout of labels, clipping, the optimiser, EMA.
    pub train: TrainOptions,
}

#[derive(Debug, Clone, Deserialize)]
struct Model {
    block_out_channels: Vec<usize>,
    layers_per_block: usize,
    norm_num_groups: usize,
    resnet_time_scale_shift: String,
}

impl Preset {
    /// Reads configs/digits.toml as it was when this was compiled.
    pub fn digits() -> Result<Self, toml::de::Error> {
        toml::from_str(DIGITS)
    }

    /// Reads configs/original.toml in the same way.
    pub fn original() -> Result<Self, toml::de::Error> {
        toml::from_str(ORIGINAL)
    }

    /// The preset's network.
    pub fn network(&self) -> UNetConfig {
        self.unet(self.model.block_out_channels.clone())
    }

    /// The networks that are timed, by their widths.
    pub fn unets(&self) -> [(String, UNetConfig); 2] {
        [self.model.block_out_channels.clone(), WIDE.to_vec()]
            .map(|widths| (format!("{widths:?}"), self.unet(widths)))
    }

    /// A network without attention for 28×28 grey images of ten classes.
    fn unet(&self, widths: Vec<usize>) -> UNetConfig {
        UNetConfig {
            sample_size: Some(SampleSize::Square(28)),
            in_channels: 1,
            out_channels: 1,
            down_block_types: vec!["DownBlock2D".into(); widths.len()],
            up_block_types: vec!["UpBlock2D".into(); widths.len()],
            block_out_channels: widths,
            layers_per_block: self.model.layers_per_block,
            norm_num_groups: self.model.norm_num_groups,
            resnet_time_scale_shift: self.model.resnet_time_scale_shift.clone(),
            add_attention: false,
            num_class_embeds: Some(CLASS_ROWS),
            ..UNetConfig::diffusers_defaults()
        }
    }
}
