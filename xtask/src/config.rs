//! The configuration of a run: flags over a file over the preset.

use crate::exit::usage;
use crate::settings;
use anyhow::{Context, Result};
use duet_data::{FolderOptions, Splits};
use duet_model::{SampleSize, UNetConfig};
use duet_schedule::{Solver, Spacing};
use duet_train::{Diffusion, TrainOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

const DIGITS: &str = include_str!("../../configs/digits.toml");
/// What differs from it.
const DIGITS_LONG: &str = include_str!("../../configs/digits-long.toml");
/// A larger configuration is no configuration.
const MAX_BYTES: u64 = 1 << 20;
/// What training keeps of each parameter at the least: itself, gradient, average and moment.
const TRAINED_COPIES: u64 = 4;

/// All of a run's settings, as in its `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    pub data: Data,
    pub model: Model,
    pub diffusion: Diffusion,
    pub train: TrainOptions,
    pub save: Save,
    pub sample: Sample,
}

/// Where the images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// "digits", or a folder.
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Of the training split, filled in when the run starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// The network; what the data decides is not asked for here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    /// Levels with attention, 0 the highest resolution.
    pub attention_levels: Vec<usize>,
    pub mid_attention: bool,
    pub attention_head_dim: usize,
    pub norm_num_groups: usize,
    /// How the time and class embedding acts on each block: "default" (added) or "scale_shift".
    #[serde(default = "time_scale_shift")]
    pub resnet_time_scale_shift: String,
}

fn time_scale_shift() -> String {
    "default".into()
}

/// When a run saves, previews and measures itself, in steps; 0 for never before the end, and for
/// `eval_every` never.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Save {
    pub save_every: u64,
    pub keep: usize,
    pub sample_every: u64,
    /// The first preview comes already after this step.
    pub first_sample: u64,
    pub held_out_every: u64,
    pub held_out_images: usize,
    /// Draws images of every class and measures them; runs of older versions do not say.
    #[serde(default)]
    pub eval_every: u64,
    #[serde(default = "eval_images")]
    pub eval_images: usize,
}

/// Fewer have no neighbours to be measured by, and the distances between all pairs are looked at.
const EVAL_IMAGES: std::ops::RangeInclusive<usize> = 10..=10_000;

fn eval_images() -> usize {
    200
}

/// How previews are drawn, and what `sample` is suggested with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub guidance: f64,
    pub steps: usize,
    #[serde(with = "spacing_text")]
    pub spacing: Spacing,
    /// As `sample --sampler` has it; none for what the scheduler says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// As `sample --interval` has it; none for everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// As `sample --rule` has it; none for plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// As `sample --history` has it; none for 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
}

mod spacing_text {
    use duet_schedule::Spacing;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(spacing: &Spacing, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(spacing)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spacing, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl RunConfig {
    /// The preset or the file, with `flags` (dotted key, value) over it.
    pub fn resolve(preset: &str, file: Option<&Path>, flags: Vec<(&str, Value)>) -> Result<Self> {
        let mut table = DIGITS.parse::<Table>().context("the preset digits")?;
        match preset {
            "digits" => (),
            "digits-long" => merge(&mut table, DIGITS_LONG.parse().context("the preset digits-long")?),
            _ => return Err(usage(format!("--preset {preset}: there are digits and digits-long"))),
        }
        if let Some(path) = file {
            let own: Table = read(path)?.parse().with_context(|| format!("{}", path.display()))?;
            merge(&mut table, own);
        }
        for (key, value) in flags {
            let nested = key
                .rsplit('.')
                .fold(value, |value, part| Table::from_iter([(part.to_string(), value)]).into());
            if let Value::Table(nested) = nested {
                merge(&mut table, nested);
            }
        }
        let context = || file.map_or("the configuration".into(), |path| path.display().to_string());
        table.try_into().with_context(context)
    }

    /// A run's own `config.toml`.
    pub fn load(path: &Path) -> Result<(Self, String)> {
        let text = read(path)?;
        Ok((toml::from_str(&text).with_context(|| format!("{}", path.display()))?, text))
    }

    /// Checks what the parts do not check themselves.
    pub fn validate(&self) -> Result<()> {
        self.train.validate()?;
        if !self.sample.guidance.is_finite() {
            return Err(usage(format!("sample.guidance = {}: must be a number", self.sample.guidance)));
        }
        if self.save.keep == 0 {
            return Err(usage("save.keep = 0: at least one checkpoint must be kept"));
        }
        if !EVAL_IMAGES.contains(&self.save.eval_images) {
            let (least, most) = EVAL_IMAGES.into_inner();
            let images = self.save.eval_images;
            return Err(usage(format!("save.eval_images = {images}: must be {least} to {most}")));
        }
        let levels = self.model.block_out_channels.len();
        if let Some(level) = self.model.attention_levels.iter().find(|&&level| level >= levels) {
            return Err(usage(format!(
                "model.attention_levels: {level}, but there are levels 0 to {}",
                levels.max(1) - 1
            )));
        }
        let schedule = self.diffusion.noise_schedule()?;
        self.sample.spacing.timesteps(self.sample.steps, &schedule).context("[sample]")?;
        settings::solver(self.sample.sampler.as_deref(), Solver::Ddim { eta: 0.0 }).context("[sample]")?;
        settings::interval(self.sample.interval.as_deref(), &schedule).context("[sample]")?;
        settings::rule(self.sample.rule.as_deref()).context("[sample]")?;
        settings::history(self.sample.history.as_deref()).context("[sample]")?;
        Ok(())
    }

    /// The data set.
    pub fn load_data(&self) -> Result<Splits> {
        match self.data.source.as_str() {
            "digits" if self.data.image_size.is_none() && self.data.channels.is_none() => {
                Ok(duet_data::digits()?)
            }
            "digits" => Err(usage("--image-size and --channels go with --data DIR: the digits are 1×28×28")),
            folder => {
                let options =
                    FolderOptions { image_size: self.data.image_size, channels: self.data.channels };
                Ok(duet_data::open(folder.as_ref(), &options)?)
            }
        }
    }

    /// The network for this data.
    pub fn unet(&self, data: &Splits) -> Result<UNetConfig> {
        let shape = data.train.shape();
        let levels = self.model.block_out_channels.len();
        let kinds = |name: &str, level: usize| match self.model.attention_levels.contains(&level) {
            true => format!("Attn{name}Block2D"),
            false => format!("{name}Block2D"),
        };
        let config = UNetConfig {
            sample_size: Some(match shape.height == shape.width {
                true => SampleSize::Square(shape.height),
                false => SampleSize::Rectangle([shape.height, shape.width]),
            }),
            in_channels: shape.channels,
            out_channels: shape.channels,
            down_block_types: (0..levels).map(|level| kinds("Down", level)).collect(),
            up_block_types: (0..levels).rev().map(|level| kinds("Up", level)).collect(),
            block_out_channels: self.model.block_out_channels.clone(),
            layers_per_block: self.model.layers_per_block,
            add_attention: self.model.mid_attention,
            attention_head_dim: Some(self.model.attention_head_dim),
            norm_num_groups: self.model.norm_num_groups,
            resnet_time_scale_shift: self.model.resnet_time_scale_shift.clone(),
            num_class_embeds: Some(data.train.classes().len() + 1),
            num_train_timesteps: Some(self.diffusion.timesteps),
            ..UNetConfig::diffusers_defaults()
        };
        let described = || format!("the network for {} (--image-size N resizes images)", data.describe());
        config.validate().with_context(described)?;
        config.check_pass(shape.height, shape.width).with_context(described)?;
        config.check_memory(TRAINED_COPIES).with_context(described)?;
        Ok(config)
    }
}

/// The text of a configuration.
pub fn read(path: &Path) -> Result<String> {
    let name = path.display();
    duet_files::read_text(path, MAX_BYTES).map_err(|error| usage(format!("cannot read {name}: {error}")))
}

/// Values of `over` replace those of `base`, table by table.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_random::Draws;

    /// No text makes the reader of a run's configuration panic or hang.
    #[test]
    fn no_mutation_of_a_configuration_panics() {
        let numbers =
            ["0", "-1", "1e308", "nan", "inf", "9223372036854775807", "99999999999999999999", "true", "[[[["];
        let mut accepted = 0;
        for index in 0..100_000 {
            let mut draws = Draws::new(0, "configuration", index);
            let mut bytes = DIGITS.as_bytes().to_vec();
            for _ in 0..=draws.below(4) {
                let at = draws.below(bytes.len() as u64) as usize;
                let range = at..(at + draws.below(30) as usize).min(bytes.len());
                match draws.below(5) {
                    0 => bytes[at] ^= 1 << draws.below(7),
                    1 => drop(bytes.drain(range)),
                    2 => {
                        let part = bytes[range].to_vec();
                        drop(bytes.splice(at..at, part));
                    }
                    _ => {
                        let Some(first) = bytes[at..].iter().position(u8::is_ascii_digit) else { continue };
                        let count = bytes[at + first..].iter().take_while(|b| b.is_ascii_digit()).count();
                        let number = numbers[draws.below(numbers.len() as u64) as usize];
                        drop(bytes.splice(at + first..at + first + count, number.bytes()));
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'[');
                }
            }
            let config =
                std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str::<RunConfig>(text).ok());
            accepted += u32::from(config.is_some_and(|config| config.validate().is_ok()));
        }
        assert!((1..100_000).contains(&accepted), "{accepted} accepted");
    }
}
