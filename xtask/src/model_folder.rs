//! What `--run` names: a run, a checkpoint of it, or any model folder of diffusers.

use crate::{config, exit::usage, run_folder};
use anyhow::{Context, Result};
use candle_core::{DType, Device};
use duet_model::{LoadedModel, ModelError};
use duet_schedule::DiffusersScheduler;
use duet_train::checkpoint::CONFIG_COPY;
use duet_train::{MANIFEST_FILE, Manifest, TrainError};
use std::path::{Path, PathBuf};

/// A table of a million betas fits.
const MAX_SCHEDULER_BYTES: u64 = 1 << 26;

/// How often a folder is looked for that is gone when it is read.
const LOOKS: usize = 100;

/// A network with all that sampling from it needs.
pub struct Model {
    pub loaded: LoadedModel,
    pub scheduler: DiffusersScheduler,
    /// Names of the classes; empty for an unconditional network.
    pub classes: Vec<String>,
    pub null_label: Option<u32>,
    /// The folder that was found.
    pub folder: PathBuf,
    /// How its run draws, where it is known.
    pub sample: Option<config::Sample>,
}

impl Model {
    /// Hash of the network's configuration and weights and of the scheduler.
    pub fn hash(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(&serde_json::to_vec(self.loaded.unet.config())?);
        add(self.scheduler.to_json().as_bytes());
        for (name, values) in self.loaded.parameters.iter() {
            add(name.as_bytes());
            let values: Vec<f32> = values.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            add(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(hasher.finalize().to_string())
    }
}

/// The model that guidance leads away from: a checkpoint beside `model`'s, or any model folder that
/// answers the same questions.
pub fn load_guide(name: &str, model: &Model, device: &Device) -> Result<Model> {
    let beside = model.folder.parent().map(|parent| parent.join(name)).filter(|path| path.is_dir());
    let path = beside.map_or_else(|| name.to_string(), |path| path.display().to_string());
    let guide = load(&path, device).with_context(|| format!("--guide-with {name}"))?;
    let (a, b) = (model.loaded.unet.config(), guide.loaded.unet.config());
    let refuse = |what: &str| usage(format!("--guide-with {name}: its {what} is not the model's"));
    if (a.in_channels, a.out_channels, a.num_class_embeds)
        != (b.in_channels, b.out_channels, b.num_class_embeds)
    {
        return Err(refuse("number of channels or classes"));
    }
    if model.scheduler.prediction()? != guide.scheduler.prediction()? {
        return Err(refuse("prediction type"));
    }
    if model.scheduler.noise_schedule()? != guide.scheduler.noise_schedule()? {
        return Err(refuse("noise schedule"));
    }
    Ok(guide)
}

/// Finds and loads the model that `--run` names.
///
/// A checkpoint that is pruned while it is read is looked for again: there is a newer one.
pub fn load(run: &str, device: &Device) -> Result<Model> {
    for _ in 0..LOOKS {
        let folder = find(run)?;
        let model = load_from(folder.clone(), device);
        if model.is_ok() || folder.exists() {
            return model;
        }
    }
    load_from(find(run)?, device)
}

fn load_from(folder: PathBuf, device: &Device) -> Result<Model> {
    if folder.join(MANIFEST_FILE).exists() {
        Manifest::verify(&folder)?;
    }
    let loaded = duet_model::load_folder(&folder, device)?;
    let scheduler = read_scheduler(&scheduler_path(&folder))?;
    let (classes, null_label) = labels(&loaded)?;
    let copy = folder.join(CONFIG_COPY);
    let sample = match copy.is_file() {
        true => Some(config::RunConfig::load(&copy)?.0.sample),
        false => None,
    };
    Ok(Model { loaded, scheduler, classes, null_label, folder, sample })
}

fn find(run: &str) -> Result<PathBuf> {
    if run == "latest" {
        return Ok(run_folder::latest()?.1);
    }
    let path = Path::new(run);
    if !path.is_dir() {
        let reason =
            "there is no such folder; name a run, a checkpoint or a model folder of diffusers".into();
        return Err(TrainError::Checkpoint { path: path.into(), reason }).context("--run");
    }
    if path.join("unet").is_dir() || path.join(duet_model::CONFIG_FILE).is_file() {
        return Ok(path.into());
    }
    match run_folder::latest_checkpoint(path)? {
        Some(checkpoint) => Ok(checkpoint),
        None => {
            let reason =
                "neither a run with a checkpoint nor a model folder (with unet/ and scheduler/)".into();
            Err(TrainError::Checkpoint { path: path.into(), reason }).context("--run")
        }
    }
}

/// Where the scheduler of a model folder is: within it, or, of a bare `unet` folder, beside it.
pub fn scheduler_path(folder: &Path) -> PathBuf {
    let name = "scheduler/scheduler_config.json";
    let beside = folder.parent().map(|parent| parent.join(name)).filter(|path| path.exists());
    beside.filter(|_| !folder.join(name).exists()).unwrap_or(folder.join(name))
}

/// Reads a `scheduler_config.json`.
pub fn read_scheduler(path: &Path) -> Result<DiffusersScheduler> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    let refuse = |reason: String| ModelError::File { path: path.into(), reason };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_SCHEDULER_BYTES {
        return Err(refuse("larger than any scheduler's configuration".into()).into());
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    Ok(DiffusersScheduler::from_json(&text).map_err(|error| refuse(error.to_string()))?)
}

/// Class names and null label: those that the folder notes (a null label of `null` is none), or by
/// the convention that the last row of the class embedding is the null label.
pub fn labels(loaded: &LoadedModel) -> Result<(Vec<String>, Option<u32>)> {
    let Some(rows) = loaded.unet.config().num_class_embeds else { return Ok((Vec::new(), None)) };
    let wrong = |key: &str| {
        usage(format!(
            "{}: {key} does not fit num_class_embeds = {rows}",
            loaded.folder.join("config.json").display()
        ))
    };
    let null = match loaded.notes.get("_duet_null_label") {
        Some(serde_json::Value::Null) => None,
        Some(value) => {
            let row = value.as_u64().filter(|&null| null < rows as u64);
            Some(row.ok_or_else(|| wrong("_duet_null_label"))? as u32)
        }
        None => Some(rows as u32 - 1),
    };
    let classes = match loaded.notes.get("_duet_classes") {
        Some(value) => {
            serde_json::from_value::<Vec<String>>(value.clone()).map_err(|_| wrong("_duet_classes"))?
        }
        None => (0..rows - usize::from(null.is_some())).map(|i| i.to_string()).collect(),
    };
    if classes.len() > rows {
        return Err(wrong("_duet_classes"));
    }
    Ok((classes, null))
}
