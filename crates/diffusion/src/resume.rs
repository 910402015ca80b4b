//! What may change between two parts of a run.

use crate::config;
use crate::error::{Result, Within, setting};
use crate::model;
use duet_schedule::{BETA_END, BETA_START, NoiseSchedule};
use duet_train::{Diffusion, Manifest, checkpoint};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Keys of a run's `config.toml` that may be edited before it is resumed: they change what is saved
/// and shown, or say where images are whose fingerprint is checked, but not what is learnt. Every
/// other key is refused, one that is new here too.
const MAY_CHANGE: [&str; 19] = [
    "data.max_gigabytes",
    "data.max_megapixels",
    "data.source",
    "data.started_in",
    "sample.clip",
    "sample.eta",
    "sample.guidance",
    "sample.guidance_schedule",
    "sample.history",
    "sample.interval",
    "sample.rule",
    "sample.sampler",
    "sample.steps",
    "save.eval_every",
    "save.eval_images",
    "save.first_sample",
    "save.keep",
    "save.sample_every",
    "save.save_every",
];

/// Gives a run that is older than the range of betas the one it began with: 0.0001 to 0.02 whatever its
/// number of timesteps. Refuses to go on under another noise schedule than the checkpoint's.
pub fn keep_schedule(diffusion: &mut Diffusion, found: &Path) -> Result<()> {
    let Some(saved) = model::scheduler_of(found)? else { return Ok(()) };
    let saved = saved.noise_schedule()?;
    let same = |other: &NoiseSchedule| {
        let mut pairs = saved.alphas_cumprod().iter().zip(other.alphas_cumprod());
        saved.len() == other.len() && pairs.all(|(a, b)| (a - b).abs() <= 1e-9)
    };
    if same(&diffusion.noise_schedule()?) {
        return Ok(());
    }
    let old = Diffusion { beta_start: Some(BETA_START), beta_end: Some(BETA_END), ..diffusion.clone() };
    let unnamed = diffusion.beta_start.is_none() && diffusion.beta_end.is_none();
    if unnamed && old.noise_schedule().is_ok_and(|schedule| same(&schedule)) {
        *diffusion = old;
        return Ok(());
    }
    Err(setting(format!(
        "{}: its noise schedule is not that of config.toml; put back the configuration that it was saved with",
        found.display()
    )))
}

/// Refuses a run's configuration that differs from the one a checkpoint was saved with, by key.
pub fn check_configuration(path: &Path, text: &str, found: &Path) -> Result<()> {
    let manifest = Manifest::verify(found)?;
    if manifest.config_hash == checkpoint::config_hash(text) {
        return Ok(());
    }
    let changed = || setting(format!("{} was changed since {} was saved", path.display(), found.display()));
    // A checkpoint of the first version has no copy to compare with.
    let Ok(saved) = config::read(&found.join(checkpoint::CONFIG_COPY)) else {
        return Err(changed());
    };
    let (saved, now) = (flat(&saved).within("the checkpoint's configuration")?, flat(text)?);
    let keys = saved.keys().chain(now.keys().filter(|key| !saved.contains_key(*key)));
    for key in keys.filter(|key| !MAY_CHANGE.contains(&key.as_str())) {
        let (before, after) = (saved.get(key), now.get(key));
        if before != after {
            let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
            return Err(setting(format!(
                "{}: {key} is {}, but {} was saved with {}: it cannot change when a run is resumed; \
                 set it back, or start a new run with --out",
                path.display(),
                shown(after),
                found.display(),
                shown(before)
            )));
        }
    }
    Ok(())
}

/// Values by dotted key.
pub fn flat(text: &str) -> Result<BTreeMap<String, Value>> {
    fn add(prefix: &str, table: Table, flat: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(inner) => add(&key, inner, flat),
                value => drop(flat.insert(key, value)),
            }
        }
    }
    let mut values = BTreeMap::new();
    add("", text.parse::<Table>()?, &mut values);
    Ok(values)
}
