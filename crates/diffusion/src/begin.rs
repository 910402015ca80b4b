//! The settings of a new run: a preset's, or those of the model that it begins from.

use crate::config::{RunConfig, SampleConfig};
use crate::error::{Result, Within, setting};
use crate::model::{read_model, scheduler_of};
use crate::network_config::NetworkConfig;
use crate::presets::{Preset, merge};
use crate::resume;
use duet_schedule::{BetaSchedule, DiffusersScheduler};
use duet_train::Diffusion;
use duet_train::checkpoint::CONFIG_COPY;
use std::path::Path;
use toml::{Table, Value};

impl RunConfig {
    /// The preset, with the file over it and `flags` (dotted key, value) over both.
    ///
    /// Where file or flags name a model to begin from (`from.model`), its network and its noise schedule stand in the
    /// place of the preset's, and, where its run is known, which noise levels it learnt most and how it draws.
    ///
    /// # Errors
    /// Where there is no such preset or model, where the file cannot be read or is no TOML, and where a key is unknown
    /// or its value of another type.
    pub fn resolve(preset: &str, file: Option<&Path>, flags: Vec<(&str, Value)>) -> Result<Self> {
        let own = Self::own_settings(file, flags)?;
        let mut table = Preset::named(preset)?.table()?;
        if let Some(from) = own.get("from") {
            let model = from.get("model").and_then(Value::as_str);
            let model =
                model.ok_or_else(|| setting("[from] needs `model`, a text: name it with --from MODEL"))?;
            let settled = read_model(Path::new(model), settings_of).in_option("from")?;
            // Of the preset's, nothing stays in these tables.
            table.retain(|name, _| name == "train" || !settled.contains_key(name));
            merge(&mut table, settled);
        }
        merge(&mut table, own);
        let what = file.map_or("the configuration".into(), |path| path.display().to_string());
        table.try_into().within(what)
    }
}

/// What a model settles, as tables of a configuration: `model`, `diffusion`, and where its run is known `sample` and what of
/// `train` belongs to its noise schedule.
fn settings_of(folder: &Path) -> Result<Table> {
    let unet = duet_model::read_folder_config(folder)?;
    let mut table = Table::from_iter([("model".into(), Value::try_from(NetworkConfig::of(&unet)?)?)]);
    let copy = folder.join(CONFIG_COPY);
    if copy.is_file() {
        let (mut config, _) = RunConfig::load(&copy)?;
        resume::keep_schedule(&mut config.diffusion, folder)?;
        let learnt = [
            ("loss_weighting".into(), Value::try_from(config.train.loss_weighting)?),
            ("timestep_sampling".into(), Value::try_from(config.train.timestep_sampling)?),
        ];
        table.insert("diffusion".into(), Value::try_from(&config.diffusion)?);
        table.insert("train".into(), Table::from_iter(learnt).into());
        table.insert("sample".into(), Value::try_from::<&SampleConfig>(&config.sample)?);
    } else if let Some(scheduler) = scheduler_of(folder)? {
        table.insert("diffusion".into(), Value::try_from(diffusion_of(&scheduler)?)?);
    }
    Ok(table)
}

/// The noise and the prediction with which a model of diffusers was trained.
fn diffusion_of(scheduler: &DiffusersScheduler) -> Result<Diffusion> {
    let schedule = scheduler.beta_schedule()?;
    let has_range = matches!(schedule, BetaSchedule::Linear | BetaSchedule::ScaledLinear);
    let (start, end) = scheduler.beta_range();
    Ok(Diffusion {
        timesteps: scheduler.timesteps(),
        schedule,
        beta_start: has_range.then_some(start),
        beta_end: has_range.then_some(end),
        snr_scale: None,
        zero_terminal_snr: scheduler.has_zero_terminal_snr(),
        prediction: scheduler.prediction()?,
    })
}
