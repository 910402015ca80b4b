//! The configuration of a U-Net: diffusers' `config.json`.

use crate::ModelError;
use serde::{Deserialize, Serialize};

/// Height and width of the images, as one number or as a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum SampleSize {
    Square(usize),
    Rectangle([usize; 2]),
}

impl SampleSize {
    /// (height, width).
    pub fn sides(self) -> (usize, usize) {
        match self {
            Self::Square(side) => (side, side),
            Self::Rectangle([height, width]) => (height, width),
        }
    }
}

/// The keys of `UNet2DModel`'s `config.json`, with diffusers' names and meanings.
///
/// [`UNetConfig::from_json`] fills absent keys with diffusers' defaults. A value outside what this
/// crate computes exactly is an error that names its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default = "UNetConfig::diffusers_defaults")]
#[allow(missing_docs)]
pub struct UNetConfig {
    pub sample_size: Option<SampleSize>,
    pub in_channels: usize,
    pub out_channels: usize,
    pub center_input_sample: bool,
    pub time_embedding_type: String,
    pub time_embedding_dim: Option<usize>,
    pub freq_shift: f64,
    pub flip_sin_to_cos: bool,
    pub down_block_types: Vec<String>,
    pub mid_block_type: Option<String>,
    pub up_block_types: Vec<String>,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub mid_block_scale_factor: f64,
    pub downsample_padding: usize,
    pub downsample_type: String,
    pub upsample_type: String,
    pub dropout: f64,
    pub act_fn: String,
    pub attention_head_dim: Option<usize>,
    pub norm_num_groups: usize,
    pub attn_norm_num_groups: Option<usize>,
    pub norm_eps: f64,
    pub resnet_time_scale_shift: String,
    pub add_attention: bool,
    pub class_embed_type: Option<String>,
    pub num_class_embeds: Option<usize>,
    pub num_train_timesteps: Option<usize>,
}

/// No network has more channels or levels than this; a file that claims more is wrong.
const MAX_CHANNELS: usize = 1 << 16;
const MAX_LEVELS: usize = 16;

impl UNetConfig {
    /// `UNet2DModel`'s defaults (diffusers 0.42), which stand for keys absent from a file.
    pub fn diffusers_defaults() -> Self {
        let strings = |names: &[&str]| names.iter().map(|s| s.to_string()).collect();
        Self {
            sample_size: None,
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_type: "positional".into(),
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: strings(&[
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2D".into()),
            up_block_types: strings(&["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            downsample_type: "conv".into(),
            upsample_type: "conv".into(),
            dropout: 0.0,
            act_fn: "silu".into(),
            attention_head_dim: Some(8),
            norm_num_groups: 32,
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: "default".into(),
            add_attention: true,
            class_embed_type: None,
            num_class_embeds: None,
            num_train_timesteps: None,
        }
    }

    /// Reads a `config.json`. Keys that begin with an underscore are dropped, as diffusers drops
    /// them; any other unknown key is an error, and so is a value that this crate cannot compute.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        if let Some(class) = keys.get("_class_name").filter(|class| *class != "UNet2DModel") {
            return Err(unsupported("_class_name", class, "only UNet2DModel is supported"));
        }
        keys.retain(|key, _| !key.starts_with('_'));
        let config: Self = serde_json::from_value(keys.into())?;
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that diffusers reads, all keys written out, with `notes` after them.
    ///
    /// Keys of notes begin with an underscore: diffusers and [`UNetConfig::from_json`] drop them.
    pub fn to_json(&self, notes: &serde_json::Map<String, serde_json::Value>) -> Result<String, ModelError> {
        let mut keys = serde_json::Map::new();
        keys.insert("_class_name".into(), "UNet2DModel".into());
        keys.insert("_diffusers_version".into(), "0.42.1".into());
        if let serde_json::Value::Object(own) = serde_json::to_value(self)? {
            keys.extend(own);
        }
        keys.extend(notes.clone());
        Ok(serde_json::to_string_pretty(&keys)? + "\n")
    }

    /// Number of resolutions.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the time embedding.
    pub fn time_width(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// Checks that this network is one that the crate computes exactly; the error names the key.
    pub fn validate(&self) -> Result<(), ModelError> {
        let levels = self.levels();
        if levels == 0 || levels > MAX_LEVELS {
            return Err(unsupported("block_out_channels", &self.block_out_channels, "needs 1 to 16 levels"));
        }
        if self.block_out_channels.iter().any(|&c| c == 0 || c > MAX_CHANNELS) {
            return Err(unsupported(
                "block_out_channels",
                &self.block_out_channels,
                "needs 1 to 65536 channels each",
            ));
        }
        if self.block_out_channels[0] % 2 == 1 || (self.block_out_channels[0] as f64 / 2.0) <= self.freq_shift
        {
            return Err(unsupported(
                "block_out_channels",
                &self.block_out_channels,
                "the first must be even, for the sines and cosines of the time embedding, and half of it larger than freq_shift",
            ));
        }
        self.check_sizes()?;
        self.check_blocks("down_block_types", &self.down_block_types, &["DownBlock2D", "AttnDownBlock2D"])?;
        self.check_blocks("up_block_types", &self.up_block_types, &["UpBlock2D", "AttnUpBlock2D"])?;
        self.check_words()?;
        self.check_norms()
    }

    fn check_sizes(&self) -> Result<(), ModelError> {
        for (key, value) in [("in_channels", self.in_channels), ("out_channels", self.out_channels)] {
            if value == 0 || value > MAX_CHANNELS {
                return Err(unsupported(key, &value, "must be 1 to 65536"));
            }
        }
        if let Some(width) = self.time_embedding_dim.filter(|&w| w == 0 || w > MAX_CHANNELS) {
            return Err(unsupported("time_embedding_dim", &width, "must be 1 to 65536"));
        }
        if let Some(rows) = self.num_class_embeds.filter(|&n| n == 0 || n > 1 << 24) {
            return Err(unsupported("num_class_embeds", &rows, "must be 1 to 16777216"));
        }
        if self.layers_per_block == 0 || self.layers_per_block > 64 {
            return Err(unsupported("layers_per_block", &self.layers_per_block, "must be 1 to 64"));
        }
        if self.downsample_padding > 1 {
            return Err(unsupported("downsample_padding", &self.downsample_padding, "must be 0 or 1"));
        }
        if self.mid_block_scale_factor.is_nan() || self.mid_block_scale_factor == 0.0 {
            return Err(unsupported("mid_block_scale_factor", &self.mid_block_scale_factor, "must not be 0"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(unsupported("dropout", &self.dropout, "must be at least 0 and below 1"));
        }
        match self.sample_size {
            Some(size) => self.check_sides(size.sides().0, size.sides().1),
            None => Ok(()),
        }
    }

    fn check_blocks(&self, key: &'static str, blocks: &[String], known: &[&str]) -> Result<(), ModelError> {
        if blocks.len() != self.levels() {
            let reason = format!("needs as many as block_out_channels, which has {}", self.levels());
            return Err(unsupported(key, &blocks, &reason));
        }
        match blocks.iter().find(|block| !known.contains(&block.as_str())) {
            Some(block) => Err(unsupported(key, block, &format!("supported are {}", known.join(" and ")))),
            None => Ok(()),
        }
    }

    /// Keys with one supported value.
    fn check_words(&self) -> Result<(), ModelError> {
        let words = [
            ("time_embedding_type", &self.time_embedding_type, "positional"),
            ("downsample_type", &self.downsample_type, "conv"),
            ("upsample_type", &self.upsample_type, "conv"),
            ("act_fn", &self.act_fn, "silu"),
            ("resnet_time_scale_shift", &self.resnet_time_scale_shift, "default"),
        ];
        for (key, value, supported) in words {
            if value != supported {
                return Err(unsupported(key, value, &format!("only \"{supported}\" is supported")));
            }
        }
        if let Some(kind) = self.mid_block_type.as_ref().filter(|kind| *kind != "UNetMidBlock2D") {
            return Err(unsupported("mid_block_type", kind, "only \"UNetMidBlock2D\" or null is supported"));
        }
        match &self.class_embed_type {
            Some(kind) => Err(unsupported("class_embed_type", kind, "only null is supported")),
            None => Ok(()),
        }
    }

    fn check_norms(&self) -> Result<(), ModelError> {
        if self.norm_eps.is_nan() || self.norm_eps < 0.0 {
            return Err(unsupported("norm_eps", &self.norm_eps, "must not be negative"));
        }
        let groups = self.norm_num_groups;
        if let Some(channels) = self.normed_widths().find(|c| groups == 0 || c % groups != 0) {
            return Err(unsupported(
                "norm_num_groups",
                &groups,
                &format!("does not divide {channels} channels"),
            ));
        }
        let middle = self.block_out_channels[self.levels() - 1];
        if let Some(groups) = self.attn_norm_num_groups.filter(|&g| g == 0 || !middle.is_multiple_of(g)) {
            return Err(unsupported(
                "attn_norm_num_groups",
                &groups,
                &format!("does not divide {middle} channels"),
            ));
        }
        let Some(head) = self.attention_head_dim else { return Ok(()) };
        let attends = |i: usize| {
            self.down_block_types[i].starts_with("Attn")
                || self.up_block_types[self.levels() - 1 - i].starts_with("Attn")
                || (i == self.levels() - 1 && self.add_attention && self.mid_block_type.is_some())
        };
        let mut widths = (0..self.levels()).filter(|&i| attends(i)).map(|i| self.block_out_channels[i]);
        match widths.find(|&c| head == 0 || head > c) {
            Some(channels) => Err(unsupported(
                "attention_head_dim",
                &head,
                &format!("must be 1 to the {channels} channels"),
            )),
            None => Ok(()),
        }
    }

    /// Every number of channels that is normalised with `norm_num_groups`.
    fn normed_widths(&self) -> impl Iterator<Item = usize> + '_ {
        let widths = &self.block_out_channels;
        let up = (0..self.levels()).rev().flat_map(move |i| {
            (0..=self.layers_per_block).map(move |j| {
                let (input, skip) = crate::block::up_widths(widths, self.layers_per_block, i, j);
                input + skip
            })
        });
        widths.iter().copied().chain(up)
    }

    /// Checks that images of these sides can be halved at every level but the last.
    pub fn check_sides(&self, height: usize, width: usize) -> Result<(), ModelError> {
        let multiple = 1usize << (self.levels() - 1);
        if height == 0 || width == 0 || !height.is_multiple_of(multiple) || !width.is_multiple_of(multiple) {
            return Err(ModelError::Input(format!(
                "images of {height}×{width} pixels do not fit a network of {} levels: both sides must be \
                 multiples of {multiple}; use fewer levels (block_out_channels) or another image size",
                self.levels()
            )));
        }
        Ok(())
    }
}

fn unsupported(key: &'static str, value: &impl Serialize, reason: &str) -> ModelError {
    let value = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
    ModelError::Config { key, value, reason: reason.into() }
}
