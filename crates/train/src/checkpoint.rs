//! Checkpoints: model folders that diffusers loads, with the state that training needs.
//!
//! A save is written to a temporary sibling, every file synced, the manifest last, and renamed to
//! its name at the end: a checkpoint is there with all its bytes, or not at all.

use crate::{FileEntry, MANIFEST_FILE, Manifest, TrainError, Trainer};
use candle_core::{Device, Tensor, Var};
use duet_model::{CONFIG_FILE, ModelError, Parameters, UNetConfig, WEIGHTS_FILE, weights_to_bytes};
use duet_schedule::{DiffusersScheduler, Spacing};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

const STATE_FILE: &str = "training_state.safetensors";
const PREFIX: &str = "step-";
/// The tensor of the state that holds the number of steps taken, which the hashes cover; the
/// manifest's own number is not covered by any.
const STEP: &str = "step";

/// What a checkpoint says beside the trainer's own state.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Names of the classes, in the order of their labels.
    pub classes: &'a [String],
    /// The run's configuration, hashed into the manifest.
    pub config: &'a str,
    /// Timestep spacing that the scheduler's file suggests.
    pub spacing: &'a Spacing,
}

/// Saves the trainer as `parent`/step-NNNNNN and returns that folder.
///
/// Errors name the file; what was saved before is untouched, and a half-written folder is removed.
pub fn save(trainer: &Trainer, labels: Labels, parent: &Path) -> Result<PathBuf, TrainError> {
    let folder = parent.join(format!("{PREFIX}{:06}", trainer.steps()));
    std::fs::create_dir_all(parent).map_err(TrainError::write(parent))?;
    let temporary = tempfile::Builder::new().prefix(".saving-").tempdir_in(parent);
    let temporary = temporary.map_err(TrainError::write(parent))?;
    let mut entries = BTreeMap::new();
    for (name, bytes) in files(trainer, &labels)? {
        write_synced(&temporary.path().join(&name), &bytes)?;
        entries.insert(name, FileEntry::of(&bytes));
    }
    let manifest = json(&Manifest::new(trainer.steps(), config_hash(labels.config), entries));
    write_synced(&temporary.path().join(MANIFEST_FILE), manifest.as_bytes())?;
    sync_folders(temporary.path())?;
    // Saved before at the same step, by a run that was resumed from an older checkpoint: out of the
    // way first, so that a whole folder is there at any moment.
    let aside = parent.join(format!(".saving-old-{}", trainer.steps()));
    if folder.is_dir() {
        let _ = std::fs::remove_dir_all(&aside);
        std::fs::rename(&folder, &aside).map_err(TrainError::write(&folder))?;
    }
    std::fs::rename(temporary.path(), &folder).map_err(TrainError::write(&folder))?;
    // Renamed: there is nothing left to remove.
    let _ = temporary.keep();
    sync_folder(parent)?;
    Manifest::verify(&folder)?;
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(TrainError::write(&aside))?;
    }
    Ok(folder)
}

/// What a manifest says of the run's configuration.
pub fn config_hash(config: &str) -> String {
    blake3::hash(config.as_bytes()).to_hex().to_string()
}

/// Every file but the manifest, by its path within the folder.
fn files(trainer: &Trainer, labels: &Labels) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let mut state = BTreeMap::new();
    let moments = [("adam_m", &trainer.adam.first), ("adam_v", &trainer.adam.second)];
    for (name, tensor) in tensors(&trainer.parameters) {
        for (prefix, moments) in moments {
            if let Some(moment) = moments.get(&name) {
                state.insert(format!("{prefix}.{name}"), moment.as_tensor().clone());
            }
        }
        state.insert(format!("weights.{name}"), tensor);
    }
    state.insert(STEP.into(), Tensor::new(&[trainer.steps() as i64], &Device::Cpu)?);
    let mut notes = serde_json::Map::new();
    notes.insert("_duet_classes".into(), labels.classes.into());
    if let Some(rows) = trainer.unet.config().num_class_embeds {
        notes.insert("_duet_null_label".into(), (rows - 1).into());
    }
    let diffusion = &trainer.diffusion;
    let scheduler = DiffusersScheduler::new(
        &diffusion.schedule,
        diffusion.zero_terminal_snr,
        diffusion.timesteps,
        diffusion.prediction,
    )?
    .with_spacing(labels.spacing)?;
    let (unet, parameters) = &trainer.ema;
    let mut files = model_files(unet.config(), parameters, &notes, &scheduler)?;
    files.insert(STATE_FILE.into(), weights_to_bytes(&state)?);
    Ok(files)
}

/// The files of a model folder that diffusers loads, by their paths within it. `notes` are keys of
/// the network's configuration that begin with an underscore.
pub fn model_files(
    config: &UNetConfig,
    parameters: &Parameters,
    notes: &serde_json::Map<String, serde_json::Value>,
    scheduler: &DiffusersScheduler,
) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    // The pipeline that takes any scheduler is DDPM's.
    let pipeline = match scheduler.class_name() {
        "DDIMScheduler" => "DDIMPipeline",
        _ => "DDPMPipeline",
    };
    let index = serde_json::json!({
        "_class_name": pipeline,
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", scheduler.class_name()],
        "unet": ["diffusers", "UNet2DModel"],
    });
    Ok(BTreeMap::from([
        ("model_index.json".into(), json(&index).into_bytes()),
        (format!("unet/{CONFIG_FILE}"), config.to_json(notes)?.into_bytes()),
        (format!("unet/{WEIGHTS_FILE}"), weights_to_bytes(&tensors(parameters))?),
        ("scheduler/scheduler_config.json".into(), scheduler.to_json().into_bytes()),
    ]))
}

fn tensors(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    // Maps with text keys and plain values always have a JSON form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(TrainError::write(path))
}

/// Syncs a folder and the folders in it, so that the names in them are on disk.
fn sync_folders(folder: &Path) -> Result<(), TrainError> {
    for entry in std::fs::read_dir(folder).map_err(TrainError::write(folder))? {
        let path = entry.map_err(TrainError::write(folder))?.path();
        if path.is_dir() {
            sync_folder(&path)?;
        }
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), TrainError> {
    // Folders cannot be opened for this on Windows, where a rename is durable by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(TrainError::write(folder))?;
    }
    Ok(())
}

/// Loads a checkpoint's state into a trainer that was made with the same options.
///
/// Every file is checked against the manifest first; on an error the trainer may not be used.
pub fn load(trainer: &mut Trainer, folder: &Path, device: &Device) -> Result<Manifest, TrainError> {
    let manifest = Manifest::verify(folder)?;
    let path = folder.join(STATE_FILE);
    let mut state = read_tensors(&path, device)?;
    let step = state.remove(STEP).map(|step| step.to_vec1::<i64>()).transpose()?;
    if step != Some(vec![manifest.step as i64]) {
        let reason = format!("holds step {step:?}, the manifest says {}", manifest.step);
        return Err(TrainError::checkpoint(&path, reason));
    }
    let mut fill = |prefix: &str, name: &str, var: &Var| {
        let key = format!("{prefix}.{name}");
        let value = state.remove(&key).filter(|value| value.shape() == var.shape());
        let value =
            value.ok_or_else(|| TrainError::checkpoint(&path, format!("{key} is missing or misshapen")))?;
        Ok::<(), TrainError>(var.set(&value)?)
    };
    for (name, var) in trainer.parameters.iter() {
        fill("weights", name, var)?;
    }
    for (prefix, moments) in [("adam_m", &trainer.adam.first), ("adam_v", &trainer.adam.second)] {
        for (name, var) in moments {
            fill(prefix, name, var)?;
        }
    }
    refuse_left_over(&path, &state)?;
    let path = folder.join("unet").join(WEIGHTS_FILE);
    let mut averages = read_tensors(&path, device)?;
    for (name, var) in trainer.ema.1.iter() {
        let value = averages.remove(name).filter(|value| value.shape() == var.shape());
        var.set(
            &value.ok_or_else(|| TrainError::checkpoint(&path, format!("{name} is missing or misshapen")))?,
        )?;
    }
    refuse_left_over(&path, &averages)?;
    trainer.adam.steps = manifest.step;
    Ok(manifest)
}

/// A tensor that nobody asked for belongs to another network.
fn refuse_left_over(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
    match tensors.keys().next() {
        Some(name) => Err(TrainError::checkpoint(path, format!("{name} is not part of this network"))),
        None => Ok(()),
    }
}

fn read_tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, TrainError> {
    duet_model::read_tensors(path, device).map_err(|error| match error {
        ModelError::File { path, reason } => TrainError::checkpoint(path, reason),
        error => TrainError::checkpoint(path, error),
    })
}

/// The checkpoints in `parent`, oldest first, by the steps in their names.
pub fn list(parent: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let step = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
        Some((step, entry.path()))
    });
    let mut found: Vec<(u64, PathBuf)> = numbered.collect();
    found.sort();
    found
}

/// The newest checkpoint in `parent` whose manifest verifies, with what was wrong with newer ones.
pub fn latest(parent: &Path) -> (Option<PathBuf>, Vec<TrainError>) {
    let mut damaged = Vec::new();
    for (_, folder) in list(parent).into_iter().rev() {
        match Manifest::verify(&folder) {
            Ok(_) => return (Some(folder), damaged),
            Err(error) => damaged.push(error),
        }
    }
    (None, damaged)
}

/// Removes the checkpoints in `parent` that are older than the newest `keep` (at least one) whose
/// manifests verify, and what broken saves left behind.
///
/// A damaged one does not count: what a run can still be resumed from is kept.
pub fn prune(parent: &Path, keep: usize) -> Result<(), TrainError> {
    let mut left = keep.max(1);
    for (_, folder) in list(parent).into_iter().rev() {
        if left == 0 {
            std::fs::remove_dir_all(&folder).map_err(TrainError::write(&folder))?;
        } else if Manifest::verify(&folder).is_ok() {
            left -= 1;
        }
    }
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".saving-") {
            std::fs::remove_dir_all(entry.path()).map_err(TrainError::write(entry.path()))?;
        }
    }
    Ok(())
}
