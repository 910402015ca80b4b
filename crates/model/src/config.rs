//! The configuration of a U-Net: diffusers' `config.json`.

use crate::error::ModelError;
use crate::memory::check_memory;
use duet_kernels::Activation;
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
/// [`UNetConfig::from_json`] fills absent keys with diffusers' defaults. A value for which this crate
/// cannot compute exactly what diffusers computes is an error that names its key.
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

/// The largest number of channels or levels. A file that claims more is wrong.
const MAX_CHANNELS: usize = 1 << 16;
const MAX_LEVELS: usize = 16;
/// Longest side of an image.
const MAX_SIDE: usize = 1 << 14;

/// The keys that diffusers' `EMAModel` adds to those of the network that it averages.
const EMA_KEYS: [&str; 7] =
    ["decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup"];

impl UNetConfig {
    /// `UNet2DModel`'s defaults (diffusers 0.42). They replace absent keys.
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

    /// Reads a `config.json`. Keys that begin with an underscore are dropped, as in diffusers. Keys of an
    /// average (`EMAModel`) are dropped too.
    /// Errors: any other unknown key; a value that this crate cannot compute; a text that is not JSON.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        if let Some(class) = keys.get("_class_name").filter(|class| *class != "UNet2DModel") {
            return Err(unsupported("_class_name", class, "only UNet2DModel is supported"));
        }
        keys.retain(|key, _| !key.starts_with('_') && !EMA_KEYS.contains(&key.as_str()));
        // Read the keys one by one, so that an error can name its key.
        for (key, value) in &keys {
            let alone = serde_json::Map::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = serde_json::from_value::<Self>(alone.into()) {
                return Err(unsupported(key, value, &error.to_string()));
            }
        }
        let config: Self = serde_json::from_value(keys.into())?;
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that diffusers reads: all keys, then `notes`.
    ///
    /// The keys of `notes` begin with an underscore; diffusers and [`UNetConfig::from_json`] drop them.
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

    /// The widths of the two inputs of layer `j` of the up block at level `i`: the feature map from below,
    /// and the skip.
    pub(crate) fn up_widths(&self, i: usize, j: usize) -> (usize, usize) {
        let widths = &self.block_out_channels;
        let below = widths[(i + 1).min(widths.len() - 1)];
        let skip = if j == self.layers_per_block { widths[i.saturating_sub(1)] } else { widths[i] };
        (if j == 0 { below } else { widths[i] }, skip)
    }

    /// Width of the time embedding.
    pub fn time_width(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// Whether the time embedding scales and shifts the residual blocks' second norm.
    pub(crate) fn modulates(&self) -> bool {
        self.resnet_time_scale_shift == "scale_shift"
    }

    /// The activation of the residual blocks. `conv_norm_out` and the time embedding always have SiLU.
    pub(crate) fn activation(&self) -> Activation {
        activation(&self.act_fn).unwrap_or(Activation::Silu)
    }

    /// The kind of the down block at level `i`.
    pub(crate) fn down_block(&self, i: usize) -> BlockKind {
        BlockKind::new(&self.down_block_types[i], &DOWN_BLOCKS, &self.downsample_type).unwrap_or_default()
    }

    /// The kind of the `n`-th up block, counted from the lowest resolution.
    pub(crate) fn up_block(&self, n: usize) -> BlockKind {
        BlockKind::new(&self.up_block_types[n], &UP_BLOCKS, &self.upsample_type).unwrap_or_default()
    }

    /// Checks that this crate computes this network exactly. Errors: a value that it does not support; the
    /// error names the key.
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
        self.check_time()?;
        self.check_sizes()?;
        self.check_blocks("down_block_types", &self.down_block_types, &DOWN_BLOCKS)?;
        self.check_blocks("up_block_types", &self.up_block_types, &UP_BLOCKS)?;
        self.check_words()?;
        self.check_norms()?;
        self.check_heads()
    }

    fn check_time(&self) -> Result<(), ModelError> {
        let half = self.block_out_channels[0] / 2;
        match self.time_embedding_type.as_str() {
            "positional" if !(half as f64 > self.freq_shift || half == 0) => Err(unsupported(
                "freq_shift",
                &self.freq_shift,
                &format!("must be below {half}, half of the first of block_out_channels"),
            )),
            "learned" if !self.num_train_timesteps.is_some_and(|n| (1..=1 << 24).contains(&n)) => {
                Err(unsupported(
                    "num_train_timesteps",
                    &self.num_train_timesteps,
                    "time_embedding_type \"learned\" needs 1 to 16777216 of them",
                ))
            }
            "positional" | "fourier" | "learned" => Ok(()),
            other => Err(unsupported(
                "time_embedding_type",
                &other,
                "supported are \"positional\", \"fourier\" and \"learned\"",
            )),
        }
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
        if !self.mid_block_scale_factor.is_finite() || self.mid_block_scale_factor == 0.0 {
            return Err(unsupported(
                "mid_block_scale_factor",
                &self.mid_block_scale_factor,
                "must be finite and not 0",
            ));
        }
        if !(0.0..=1.0).contains(&self.dropout) {
            return Err(unsupported("dropout", &self.dropout, "must be 0 to 1"));
        }
        match self.sample_size {
            Some(size) => self
                .check_sides(size.sides().0, size.sides().1)
                .map_err(|error| unsupported("sample_size", &self.sample_size, &error.to_string())),
            None => Ok(()),
        }
    }

    fn check_blocks(
        &self,
        key: &'static str,
        blocks: &[String],
        known: &[&str; 3],
    ) -> Result<(), ModelError> {
        if blocks.len() != self.levels() {
            let reason = format!("needs as many as block_out_channels, which has {}", self.levels());
            return Err(unsupported(key, &blocks, &reason));
        }
        match blocks.iter().find(|block| BlockKind::new(block, known, "conv").is_none()) {
            Some(block) => Err(unsupported(key, block, &format!("supported are {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// Keys whose values are words.
    fn check_words(&self) -> Result<(), ModelError> {
        let words: [(&str, &str, &[&str]); 3] = [
            ("downsample_type", &self.downsample_type, &["conv", "resnet"]),
            ("upsample_type", &self.upsample_type, &["conv", "resnet"]),
            ("resnet_time_scale_shift", &self.resnet_time_scale_shift, &["default", "scale_shift"]),
        ];
        for (key, value, supported) in words {
            if !supported.contains(&value) {
                return Err(unsupported(key, &value, &format!("supported are {}", supported.join(" and "))));
            }
        }
        if activation(&self.act_fn).is_none() {
            return Err(unsupported(
                "act_fn",
                &self.act_fn,
                "supported are silu, swish, mish, gelu and relu",
            ));
        }
        if let Some(kind) = self.mid_block_type.as_ref().filter(|kind| *kind != "UNetMidBlock2D") {
            return Err(unsupported("mid_block_type", kind, "only \"UNetMidBlock2D\" or null is supported"));
        }
        match &self.class_embed_type {
            Some(kind) => Err(unsupported(
                "class_embed_type",
                kind,
                "only null is supported: a table with a row for each class (num_class_embeds)",
            )),
            None => Ok(()),
        }
    }

    fn check_norms(&self) -> Result<(), ModelError> {
        if !(self.norm_eps >= 0.0 && self.norm_eps.is_finite()) {
            return Err(unsupported("norm_eps", &self.norm_eps, "must be finite and not negative"));
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
        match self.attn_norm_num_groups.filter(|&g| g == 0 || !middle.is_multiple_of(g)) {
            Some(groups) => Err(unsupported(
                "attn_norm_num_groups",
                &groups,
                &format!("does not divide {middle} channels"),
            )),
            None => Ok(()),
        }
    }

    fn check_heads(&self) -> Result<(), ModelError> {
        let Some(head) = self.attention_head_dim else { return Ok(()) };
        let last = self.levels() - 1;
        let attends = |i: usize| {
            self.down_block(i).attends
                || self.up_block(last - i).attends
                || (i == last && self.add_attention && self.mid_block_type.is_some())
        };
        let mut widths = (0..=last).filter(|&i| attends(i)).map(|i| self.block_out_channels[i]);
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
                let (input, skip) = self.up_widths(i, j);
                input + skip
            })
        });
        widths.iter().copied().chain(up)
    }

    /// Checks that images of these sides can be halved at every level except the last. Errors: sides that
    /// cannot.
    pub fn check_sides(&self, height: usize, width: usize) -> Result<(), ModelError> {
        if height > MAX_SIDE || width > MAX_SIDE {
            return Err(ModelError::Input(format!(
                "images of {height}×{width} pixels: no side may be longer than {MAX_SIDE}"
            )));
        }
        let multiple = 1usize << (self.levels() - 1);
        if height == 0 || width == 0 || !height.is_multiple_of(multiple) || !width.is_multiple_of(multiple) {
            return Err(ModelError::Input(format!(
                "images of {height}×{width} pixels do not fit a network of {} levels: both sides must be \
                 multiples of {multiple}",
                self.levels()
            )));
        }
        Ok(())
    }

    /// Heights and widths that the network can take and that are nearest to these: the largest below, and the
    /// smallest above. A side that fits stays. Both are one where one of them fits.
    pub fn nearest_sides(&self, height: usize, width: usize) -> Vec<(usize, usize)> {
        let multiple = 1usize << (self.levels() - 1);
        let below = |side: usize| (side.min(MAX_SIDE) / multiple * multiple).max(multiple);
        let above = |side: usize| side.clamp(1, MAX_SIDE).div_ceil(multiple) * multiple;
        let mut sides = vec![(below(height), below(width)), (above(height), above(width))];
        sides.dedup();
        sides.retain(|&(height, width)| self.check_sides(height, width).is_ok());
        sides
    }

    /// Checks that a pass of one image of these sides through the network can fit into memory. Errors: too
    /// little memory.
    pub fn check_pass(&self, height: usize, width: usize) -> Result<(), ModelError> {
        self.check_sides(height, width)?;
        let bytes = self.pass_bytes(height, width);
        check_memory(&format!("a pass of one image of {height}×{width} pixels"), bytes)
    }

    /// The least number of bytes that a pass of one image takes: all skips, and as much again for the first
    /// level. None if the number is too large to count.
    fn pass_bytes(&self, height: usize, width: usize) -> Option<u64> {
        let mut values = 0u64;
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            let area = (height >> level) as u64 * (width >> level) as u64;
            let images = self.layers_per_block as u64 + if level == 0 { 2 } else { 1 };
            values = values.checked_add(area.checked_mul(channels as u64)?.checked_mul(images)?)?;
        }
        values.checked_mul(4)
    }

    /// Checks that `copies` of the parameters fit into memory. Drawing needs one copy. Training also needs
    /// one each for the gradients, the average and each of the optimiser's moments.
    /// Errors: too little memory.
    pub fn check_memory(&self, copies: u64) -> Result<(), ModelError> {
        let count = self.parameter_count()?;
        let bytes = count.checked_mul(4).and_then(|bytes| bytes.checked_mul(copies));
        check_memory(&format!("a network of {count} parameters"), bytes)
    }
}

/// Down blocks: plain, with attention, with a residual block as downsampler.
const DOWN_BLOCKS: [&str; 3] = ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"];
/// Up blocks, in the same order.
const UP_BLOCKS: [&str; 3] = ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"];
/// The prefix of block names in old configurations.
const OLD_PREFIX: &str = "UNetRes";

/// The meaning of a block type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockKind {
    /// Whether attention follows each layer.
    pub attends: bool,
    /// Whether a residual block changes the resolution instead of a convolution.
    pub residual_sampler: bool,
}

impl BlockKind {
    /// `sampler` is `downsample_type` or `upsample_type`. Only blocks with attention use it.
    fn new(name: &str, [plain, attention, residual]: &[&str; 3], sampler: &str) -> Option<Self> {
        let name = name.strip_prefix(OLD_PREFIX).unwrap_or(name);
        match name {
            _ if name == *plain => Some(Self::default()),
            _ if name == *attention => Some(Self { attends: true, residual_sampler: sampler == "resnet" }),
            _ if name == *residual => Some(Self { attends: false, residual_sampler: true }),
            _ => None,
        }
    }
}

/// The activation for diffusers' name, in upper or lower case.
fn activation(name: &str) -> Option<Activation> {
    Some(match name.to_lowercase().as_str() {
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "mish" => Activation::Mish,
        _ => return None,
    })
}

fn unsupported(key: &str, value: &impl Serialize, reason: &str) -> ModelError {
    let value = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
    ModelError::Config { key: key.into(), value, reason: reason.into() }
}
