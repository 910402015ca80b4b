//! What a configuration says of the network.

use crate::error::{Result, Within, setting};
use duet_model::UNetConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

/// The network; what the data decides is not asked for here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels of each level, the highest resolution first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each level.
    pub layers_per_block: usize,
    /// Levels with attention, 0 the highest resolution.
    pub attention_levels: Vec<usize>,
    /// Attention between the way down and the way up.
    pub mid_attention: bool,
    /// Channels of an attention head.
    pub attention_head_dim: usize,
    /// Groups of each normalisation; 1 is layer normalisation.
    pub norm_num_groups: usize,
    /// How the time and class embedding acts on each block: "default" (added) or "scale_shift".
    #[serde(default = "time_scale_shift")]
    pub resnet_time_scale_shift: String,
    /// What else the network has, by the names and values of diffusers' `UNet2DModel`; "none" is its None.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub diffusers: Table,
}

fn time_scale_shift() -> String {
    "default".into()
}

/// What `[model.diffusers]` cannot set, because images, classes and noise schedule decide it.
const DECIDED: [&str; 5] =
    ["sample_size", "in_channels", "out_channels", "num_class_embeds", "num_train_timesteps"];
/// What the other keys of `[model]` set, by diffusers' names and by theirs.
const PLAIN: [(&str, &str); 5] = [
    ("block_out_channels", "block_out_channels"),
    ("layers_per_block", "layers_per_block"),
    ("add_attention", "mid_attention"),
    ("norm_num_groups", "norm_num_groups"),
    ("resnet_time_scale_shift", "resnet_time_scale_shift"),
];
/// What no training keeps of another network.
const DROPOUT: &str = "dropout";
/// What stands for Python's None.
const NONE: &str = "none";

impl NetworkConfig {
    /// The network, but for what images, classes and noise schedule decide.
    ///
    /// # Errors
    /// A key of `diffusers` that is unknown, decided elsewhere, or has a value that is not supported.
    pub(crate) fn unet(&self, timesteps: usize) -> Result<UNetConfig> {
        let plain = UNetConfig { num_train_timesteps: Some(timesteps), ..self.plain() };
        if self.diffusers.is_empty() {
            return Ok(plain);
        }
        let within = "[model.diffusers]";
        let mut keys = keys_of(&plain)?;
        for (key, value) in &self.diffusers {
            if DECIDED.contains(&key.as_str()) {
                let problem = format!("model.diffusers.{key}: images, classes and noise schedule decide it");
                return Err(setting(problem));
            }
            if let Some((_, own)) = PLAIN.iter().find(|(name, _)| name == key) {
                return Err(setting(format!(
                    "model.diffusers.{key}: set model.{own} instead, which is the same"
                )));
            }
            let value = if value.as_str() == Some(NONE) { Json::Null } else { serde_json::to_value(value)? };
            keys.insert(key.clone(), value);
        }
        UNetConfig::from_json(&serde_json::to_string(&keys)?).within(within)
    }

    /// The network that the keys beside `diffusers` describe.
    fn plain(&self) -> UNetConfig {
        let levels = self.block_out_channels.len();
        let kinds = |name: &str, level: usize| match self.attention_levels.contains(&level) {
            true => format!("Attn{name}Block2D"),
            false => format!("{name}Block2D"),
        };
        UNetConfig {
            down_block_types: (0..levels).map(|level| kinds("Down", level)).collect(),
            up_block_types: (0..levels).rev().map(|level| kinds("Up", level)).collect(),
            block_out_channels: self.block_out_channels.clone(),
            layers_per_block: self.layers_per_block,
            add_attention: self.mid_attention,
            attention_head_dim: Some(self.attention_head_dim),
            norm_num_groups: self.norm_num_groups,
            resnet_time_scale_shift: self.resnet_time_scale_shift.clone(),
            ..UNetConfig::diffusers_defaults()
        }
    }

    /// The configuration of a given network, but for what images, classes and noise schedule decide, and without
    /// dropout.
    ///
    /// # Errors
    /// Those of JSON.
    pub(crate) fn of(unet: &UNetConfig) -> Result<Self> {
        let is_attention = |(level, kind): (usize, &String)| kind.starts_with("Attn").then_some(level);
        let mut network = Self {
            block_out_channels: unet.block_out_channels.clone(),
            layers_per_block: unet.layers_per_block,
            attention_levels: unet.down_block_types.iter().enumerate().filter_map(is_attention).collect(),
            mid_attention: unet.add_attention,
            attention_head_dim: unet.attention_head_dim.unwrap_or(8),
            norm_num_groups: unet.norm_num_groups,
            resnet_time_scale_shift: unet.resnet_time_scale_shift.clone(),
            diffusers: Table::new(),
        };
        let plain = keys_of(&network.plain())?;
        for (key, value) in keys_of(unet)? {
            let decided = DECIDED.contains(&key.as_str()) || key == DROPOUT;
            if !decided && plain.get(&key) != Some(&value) {
                let value =
                    if value.is_null() { Value::String(NONE.into()) } else { Value::try_from(value)? };
                network.diffusers.insert(key, value);
            }
        }
        Ok(network)
    }
}

fn keys_of(unet: &UNetConfig) -> Result<Map<String, Json>> {
    match serde_json::to_value(unet)? {
        Json::Object(keys) => Ok(keys),
        other => Err(setting(format!("the network's configuration is {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_json(text: &str) -> UNetConfig {
        UNetConfig::from_json(text).unwrap()
    }

    fn decided(unet: UNetConfig, other: &UNetConfig) -> UNetConfig {
        UNetConfig {
            sample_size: other.sample_size,
            in_channels: other.in_channels,
            out_channels: other.out_channels,
            num_class_embeds: other.num_class_embeds,
            num_train_timesteps: other.num_train_timesteps,
            dropout: other.dropout,
            ..unet
        }
    }

    #[test]
    fn any_network_is_described_and_built_again() {
        for text in [
            r#"{"block_out_channels": [16, 32], "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
                "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "norm_num_groups": 8}"#,
            r#"{"block_out_channels": [16, 32], "down_block_types": ["ResnetDownsampleBlock2D", "DownBlock2D"],
                "up_block_types": ["UpBlock2D", "ResnetUpsampleBlock2D"], "norm_num_groups": 8, "act_fn": "gelu",
                "freq_shift": 1, "flip_sin_to_cos": false, "mid_block_type": null, "add_attention": false,
                "attention_head_dim": null, "num_class_embeds": 11, "dropout": 0.1, "sample_size": 32}"#,
            r#"{"time_embedding_type": "learned", "num_train_timesteps": 50}"#,
            "{}",
        ] {
            let unet = of_json(text);
            let network = NetworkConfig::of(&unet).unwrap();
            let text = toml::to_string(&network).unwrap();
            let read: NetworkConfig = toml::from_str(&text).unwrap();
            assert_eq!(decided(read.unet(1000).unwrap(), &unet), unet, "{text}");
        }
    }

    #[test]
    fn a_network_that_the_plain_keys_describe_needs_no_others() {
        let network = NetworkConfig {
            block_out_channels: vec![16, 32, 64],
            layers_per_block: 1,
            attention_levels: vec![2],
            mid_attention: false,
            attention_head_dim: 32,
            norm_num_groups: 8,
            resnet_time_scale_shift: "scale_shift".into(),
            diffusers: Table::new(),
        };
        assert_eq!(NetworkConfig::of(&network.unet(1000).unwrap()).unwrap(), network);
    }

    #[test]
    fn keys_that_are_unknown_decided_or_wrong_are_refused_by_name() {
        for (key, value, expected) in [
            ("in_channels", Value::Integer(3), "model.diffusers.in_channels"),
            ("act_fn", Value::String("sine".into()), "act_fn"),
            ("atention", Value::Integer(3), "atention"),
            ("layers_per_block", Value::Integer(2), "set model.layers_per_block instead"),
            ("freq_shift", Value::String("two".into()), "freq_shift"),
        ] {
            let mut network = NetworkConfig::of(&UNetConfig::diffusers_defaults()).unwrap();
            network.diffusers.insert(key.into(), value);
            let error = network.unet(1000).unwrap_err().chain();
            assert!(error.contains(expected), "{error}");
        }
    }
}
