//! The configuration of a run: flags over a file over the preset.

use crate::distill::config::DistillConfig;
use crate::error::{Error, Result, Within, option, setting};
use crate::from::FromConfig;
use crate::network_config::NetworkConfig;
use crate::presets::{Preset, merge};
use duet_data::{DataError, FolderOptions, ImageSize, LabelKind, Splits};
use duet_model::{SampleSize, UNetConfig};
use duet_sample::{GuidanceInterval, History, Rule, WeightSchedule};
use duet_schedule::{Clip, Ddim, NoiseSchedule, ScheduleError, Solver, Spacing};
use duet_train::{Diffusion, TrainOptions};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A larger configuration is no configuration.
const MAX_BYTES: u64 = 1 << 20;
/// What training keeps of each parameter at the least: itself, gradient, average and moment.
const TRAINED_COPIES: u64 = 4;

/// All of a run's settings, as in its `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Images.
    pub data: DataConfig,
    /// Network.
    pub model: NetworkConfig,
    /// Noise schedule and prediction.
    pub diffusion: Diffusion,
    /// Optimiser, loss and length.
    pub train: TrainOptions,
    /// What is saved and measured when.
    pub save: SaveConfig,
    /// How the run draws.
    pub sample: SampleConfig,
    /// The model that the run begins from; none for a new network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FromConfig>,
    /// What the run learns from that model's drawings instead of from images; none for a training on images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillConfig>,
}

/// Where the images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// "digits", or a folder.
    pub source: String,
    /// Pixels to resize to, a number for a square or "HxW"; none for as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
    /// 1 for grey, 3 for colour; none for as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// The label that is the class, where images have two; none for the fine one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelKind>,
    /// Most pixels of one image file; none for `duet_data::MAX_PIXELS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_megapixels: Option<u64>,
    /// Most bytes of all images; none for `duet_data::MAX_BYTES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_gigabytes: Option<u64>,
    /// The folder in which the run was started, where `source` is relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_in: Option<String>,
    /// Of the training split, filled in when the run starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Of the held-out split, likewise; runs of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_fingerprint: Option<String>,
}

impl DataConfig {
    /// Where the images are: as the source says, or, if there is nothing, as it says from the folder
    /// in which the run was started.
    fn folder(&self) -> PathBuf {
        let source = Path::new(&self.source);
        let started_in = self.started_in.as_ref().filter(|_| !source.exists());
        started_in.map_or_else(|| source.into(), |folder| Path::new(folder).join(source))
    }

    /// Notes the present folder, if the source is relative to it.
    pub fn note_start(&mut self) {
        let relative = self.source != "digits" && Path::new(&self.source).is_relative();
        let here = std::env::current_dir().ok().filter(|_| relative);
        self.started_in = here.and_then(|here| here.to_str().map(String::from));
    }

    fn options(&self) -> FolderOptions {
        let limit = |value: Option<u64>, unit, usual| value.map_or(usual, |n| n.saturating_mul(unit));
        FolderOptions {
            image_size: self.image_size,
            channels: self.channels,
            label: self.label,
            max_pixels: limit(self.max_megapixels, 1_000_000, duet_data::MAX_PIXELS),
            max_bytes: limit(self.max_gigabytes, 1_000_000_000, duet_data::MAX_BYTES),
        }
    }
}

/// When a run saves, previews and measures itself, in steps; 0 for never before the end, and for
/// `eval_every` never.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveConfig {
    /// Between checkpoints.
    pub save_every: u64,
    /// Checkpoints, the newest.
    pub keep: usize,
    /// Between previews.
    pub sample_every: u64,
    /// The first preview comes already after this step.
    pub first_sample: u64,
    /// Between measurements of the held-out loss.
    pub held_out_every: u64,
    /// Images of each of them.
    pub held_out_images: usize,
    /// Draws images of every class and measures them; runs of older versions do not say.
    #[serde(default)]
    pub eval_every: u64,
    /// Images of each such measurement, 10 to 10,000.
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
pub struct SampleConfig {
    /// w, where 1 is no guidance.
    pub guidance: f64,
    /// Network evaluations of each image.
    pub steps: usize,
    /// Which timesteps are visited.
    pub spacing: Spacing,
    /// None for what the scheduler says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Solver>,
    /// Noise that DDIM adds, 0 to 1, for the sampler ddim alone; none for 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// None for what the scheduler says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// None for everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<GuidanceInterval>,
    /// None for plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// None for off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// None for constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_schedule: Option<WeightSchedule>,
}

/// DDIM without noise: what draws where nothing says otherwise.
pub(crate) const DDIM: Solver = Solver::Ddim(Ddim { eta: 0.0 });

/// The solver with the η that is asked for, if one is.
pub(crate) fn with_eta(solver: Solver, eta: Option<f64>) -> Result<Solver> {
    let Some(eta) = eta else { return Ok(solver) };
    let refuse = |error: ScheduleError| option("eta", error.to_string().trim_start_matches("eta"));
    solver.with_eta(eta).map_err(refuse)
}

impl SampleConfig {
    /// Checks what goes together, as a drawing does.
    fn validate(&self, schedule: &NoiseSchedule) -> Result<()> {
        let solver = with_eta(self.sampler.unwrap_or(DDIM), self.eta)?;
        self.spacing.timesteps(self.steps, schedule)?;
        self.interval.unwrap_or_default().noise_interval(schedule).in_option("interval")?;
        let weights = self.guidance_schedule.clone().unwrap_or_default();
        weights.check_count(solver.intervals(self.steps)).in_option("guidance-schedule")
    }
}

impl RunConfig {
    /// What a file and, over it, `flags` (dotted key, value) set.
    ///
    /// # Errors
    /// Where the file cannot be read or is no TOML.
    pub(crate) fn own_settings(file: Option<&Path>, flags: Vec<(&str, Value)>) -> Result<Table> {
        let mut own = Table::new();
        if let Some(path) = file {
            own = read(path)?.parse().within(format!("{}", path.display()))?;
        }
        // The hash that a file notes is that of the file's own model.
        if flags.iter().any(|(key, _)| *key == "from.model")
            && let Some(Value::Table(from)) = own.get_mut("from")
        {
            from.remove("hash");
        }
        for (key, value) in flags {
            merge(&mut own, nested(key, value));
        }
        Ok(own)
    }

    /// How the preset of this name draws, with every key named: where it says nothing, as Duet's own
    /// runs do without that key.
    ///
    /// # Errors
    /// Where there is no such preset.
    pub fn preset_sample(preset: &str) -> Result<SampleConfig> {
        let sample = Self::preset(preset)?.sample;
        Ok(SampleConfig {
            sampler: sample.sampler.or(Some(DDIM)),
            eta: sample.eta.or(Some(0.0)),
            clip: sample.clip.or(Some(Clip::Static { limit: 1.0 })),
            interval: sample.interval.or(Some(GuidanceInterval::All)),
            rule: sample.rule.or_else(|| Some(Rule::default())),
            history: sample.history.or_else(|| Some(History::default())),
            guidance_schedule: sample.guidance_schedule.or(Some(WeightSchedule::Constant)),
            ..sample
        })
    }

    /// The preset of this name: digits, digits-long, original or colour.
    ///
    /// # Errors
    /// Where there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        Preset::named(name)?.table()?.try_into().within("the preset")
    }

    /// As the `config.toml` of a run has it.
    ///
    /// # Errors
    /// Where a number is larger than TOML's.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The configuration of a text.
    pub(crate) fn of_text(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// A run's own `config.toml`.
    ///
    /// # Errors
    /// Where it cannot be read, is no TOML, or has an unknown key.
    pub fn load(path: &Path) -> Result<(Self, String)> {
        let text = read(path)?;
        Ok((toml::from_str(&text).within(format!("{}", path.display()))?, text))
    }

    /// Checks what the parts do not check themselves.
    ///
    /// # Errors
    /// Of the first setting that is out of its range or does not go with another.
    pub fn validate(&self) -> Result<()> {
        self.train.validate()?;
        if !self.sample.guidance.is_finite() {
            return Err(setting(format!("sample.guidance = {}: must be a number", self.sample.guidance)));
        }
        if self.save.keep == 0 {
            return Err(setting("save.keep = 0: at least one checkpoint must be kept"));
        }
        if !EVAL_IMAGES.contains(&self.save.eval_images) {
            let (least, most) = EVAL_IMAGES.into_inner();
            let images = self.save.eval_images;
            return Err(setting(format!("save.eval_images = {images}: must be {least} to {most}")));
        }
        if let Some(distill) = &self.distill {
            distill.validate(self.from.is_some())?;
        }
        let levels = self.model.block_out_channels.len();
        if let Some(level) = self.model.attention_levels.iter().find(|&&level| level >= levels) {
            return Err(setting(format!(
                "model.attention_levels: {level}, but there are levels 0 to {}",
                levels.max(1) - 1
            )));
        }
        self.sample.validate(&self.diffusion.noise_schedule()?).within("[sample]")
    }

    /// The data set. What looks wrong with it is warned about.
    ///
    /// # Errors
    /// Where the images cannot be read, or are not what the configuration says.
    pub fn load_data(&self) -> Result<Splits> {
        let data = self.read_data()?;
        let of_classes = data.class_warnings(self.train.balance);
        for warning in data.warnings().into_iter().chain(of_classes) {
            log::warn!("{}: {warning}", data.name);
        }
        Ok(data)
    }

    fn read_data(&self) -> Result<Splits> {
        match self.data.source.as_str() {
            "digits" if self.data.label.is_some() => {
                Err(option("label", " goes with --data DIR: the digits have one label"))
            }
            "digits" if self.data.image_size.is_none() && self.data.channels.is_none() => {
                Ok(duet_data::digits()?)
            }
            "digits" => {
                Err(option("image-size", " and --channels go with --data DIR: the digits are 1×28×28"))
            }
            _ => Ok(duet_data::open(&self.data.folder(), &self.data.options())?),
        }
    }

    /// The data set of a run whose configuration this is; an error says where it is named.
    ///
    /// # Errors
    /// As [`RunConfig::load_data`], in [`Error::In`].
    pub fn load_data_of_run(&self, path: &Path) -> Result<Splits> {
        self.load_data().map_err(|error| {
            let (file, source) = (path.display(), &self.data.source);
            let meant = self.data.folder();
            let what = format!(
                "{file} has source = {source:?}, which is {}; say with --data DIR where the images are now",
                meant.display()
            );
            Error::In { what, source: Box::new(error) }
        })
    }

    /// The network for this data.
    ///
    /// # Errors
    /// Where such a network cannot be, cannot take images of this size, or does not fit into memory.
    pub fn unet(&self, data: &Splits) -> Result<UNetConfig> {
        let shape = data.train.shape();
        let config = UNetConfig {
            sample_size: None,
            in_channels: shape.channels,
            out_channels: shape.channels,
            num_class_embeds: Some(data.train.classes().len() + 1),
            num_train_timesteps: Some(self.diffusion.timesteps),
            ..self.model.unet(self.diffusion.timesteps)?
        };
        let described = || format!("the network for {} (--image-size resizes images)", data.describe());
        config.validate().within(described())?;
        self.check_sides(&config, data)?;
        config.check_pass(shape.height, shape.width).within(described())?;
        config.check_memory(TRAINED_COPIES).within(described())?;
        let sample_size = match shape.height == shape.width {
            true => SampleSize::Square(shape.height),
            false => SampleSize::Rectangle([shape.height, shape.width]),
        };
        Ok(UNetConfig { sample_size: Some(sample_size), ..config })
    }
}

impl RunConfig {
    /// Refuses images that the network cannot halve as often as it has to, with the nearest sizes that it can.
    fn check_sides(&self, config: &UNetConfig, data: &Splits) -> Result<()> {
        let shape = data.train.shape();
        let Err(error) = config.check_sides(shape.height, shape.width) else { return Ok(()) };
        let sizes = config.nearest_sides(shape.height, shape.width).into_iter();
        let sizes: Vec<String> = sizes
            .filter_map(|(height, width)| ImageSize::new(height, width).ok())
            .map(|size| format!("--image-size {size}"))
            .collect();
        let fix = match sizes.is_empty() {
            true => "use fewer levels (model.block_out_channels)".into(),
            false => format!("use {}, or fewer levels (model.block_out_channels)", sizes.join(" or ")),
        };
        match self.data.image_size {
            Some(size) => Err(option("image-size", format!(" {size}: {error}; {fix}"))),
            None => {
                let path = Path::new(&data.name).into();
                Err(DataError::Malformed { path, cause: error.to_string(), fix }.into())
            }
        }
    }
}

/// A table that has nothing but this value, under a dotted key.
pub(crate) fn nested(key: &str, value: Value) -> Table {
    let (tables, key) = key.rsplit_once('.').map_or((None, key), |(tables, key)| (Some(tables), key));
    let table = Table::from_iter([(key.to_string(), value)]);
    tables.map_or(table.clone(), |tables| nested(tables, table.into()))
}

/// The text of a configuration.
///
/// # Errors
/// Where it cannot be read, is larger than a megabyte, or is no UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let unreadable = |error| setting(format!("cannot read {}: {error}", path.display()));
    duet_files::read_text(path, MAX_BYTES).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::{DIGITS, PRESETS};
    use duet_random::Draws;

    fn with(sample: &str) -> Result<()> {
        let mut table: Table = DIGITS.parse().unwrap();
        merge(&mut table, format!("[sample]\n{sample}").parse().unwrap());
        table.try_into::<RunConfig>()?.validate()
    }

    #[test]
    fn every_key_of_sample_is_checked_as_its_flag_is() {
        for good in [
            "sampler = \"ddim\"\neta = 1.0",
            "eta = 0.0",
            "clip = \"none\"",
            "clip = \"dynamic:0.9\"",
            "guidance_schedule = \"cosine\"",
            "guidance_schedule = \"1,1,1,1,2,2,2,2,2\"",
        ] {
            with(good).unwrap_or_else(|error| panic!("{good}: {}", error.chain()));
        }
        for (bad, named) in [
            ("sampler = \"ddim\"\neta = 1.5", "eta 1.5"),
            ("sampler = \"ddim\"\neta = nan", "eta NaN"),
            ("eta = 0.5", "only ddim has it"),
            ("clip = \"static:0\"", "static:0: none, static"),
            ("guidance_schedule = \"up\"", "up: constant, linear"),
            ("guidance_schedule = \"1,2\"", "2 weights for 9 steps"),
        ] {
            let error = with(bad).unwrap_err().chain();
            let says_where = error.contains("[sample]") || error.contains("in `sample.");
            assert!(error.contains(named) && says_where, "{bad}: {error}");
        }
    }

    #[test]
    fn a_default_run_writes_the_keys_that_it_always_had() {
        let config = RunConfig::resolve("digits", None, Vec::new()).unwrap();
        let written: Table = toml::to_string(&config).unwrap().parse().unwrap();
        assert_eq!(written, DIGITS.parse().unwrap());
    }

    #[test]
    fn every_preset_is_valid_and_says_how_it_draws() {
        for name in PRESETS.each_ref().map(|preset| preset.name) {
            RunConfig::resolve(name, None, Vec::new()).unwrap().validate().unwrap();
            let sample = RunConfig::preset_sample(name).unwrap();
            let keys: Table = toml::to_string(&sample).unwrap().parse().unwrap();
            assert_eq!(keys.len(), 10, "{name}: {keys}");
        }
    }

    #[test]
    fn an_image_size_is_a_number_for_a_square_and_a_text_for_a_rectangle() {
        let read = |value: &str| {
            let mut table: Table = DIGITS.parse().unwrap();
            merge(&mut table, format!("[data]\nimage_size = {value}\n").parse().unwrap());
            table.try_into::<RunConfig>()
        };
        for (value, sides, written) in
            [("32", (32, 32), "32"), ("\"32\"", (32, 32), "32"), ("\"24x40\"", (24, 40), "\"24x40\"")]
        {
            let config = read(value).unwrap();
            let size = config.data.image_size.unwrap();
            assert_eq!((size.height(), size.width()), sides);
            let text = config.to_toml().unwrap();
            assert!(text.contains(&format!("image_size = {written}\n")), "{text}");
            assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config);
        }
        for value in ["0", "-1", "16385", "\"24x\"", "\"0x8\"", "[24, 40]", "2.5", "true"] {
            let error = read(value).unwrap_err().to_string();
            assert!(error.contains("size"), "{value}: {error}");
        }
    }

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
