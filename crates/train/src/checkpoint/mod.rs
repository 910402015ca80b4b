//! Checkpoints: model folders that diffusers loads, with the state that training needs.
//!
//! A save is written to a temporary sibling, every file synced, the manifest last, and renamed to
//! its name at the end: a checkpoint is there with all its bytes, or not at all.

use self::checkpoints::{OLD, SAVING, beside};
use self::disk::above;
mod checkpoints;
pub(crate) mod disk;
pub(crate) mod manifest;

use crate::{Disk, FileEntry, MANIFEST_FILE, Manifest, RealDisk, TrainError, Trainer, create_folders};
use candle_core::{Device, Tensor, Var};
use duet_model::{CONFIG_FILE, ModelError, Parameters, UNetConfig, WEIGHTS_FILE, weights_to_bytes};
use duet_optim::POWER_LENGTHS;
use duet_schedule::{DIFFUSERS_VERSION, DiffusersScheduler, Spacing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::checkpoints::{
    folder, latest, latest_model, latest_until, list, prune, prune_on, restore, set_aside, verify_step,
};

const STATE_FILE: &str = "training_state.safetensors";
/// The run's configuration as it was when the checkpoint was saved.
pub const CONFIG_COPY: &str = "run_config.toml";
/// The tensor of the state that holds the number of steps taken, which the hashes cover; the
/// manifest's own number is not covered by any.
const STEP: &str = "step";
/// What the averages are called whose length is chosen later.
const POWER: &str = "power";

/// What a checkpoint says beside the trainer's own state.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Names of the classes, in the order of their labels.
    pub classes: &'a [String],
    /// The run's configuration, kept in the checkpoint.
    pub config: &'a str,
    /// Timestep spacing that the scheduler's file suggests.
    pub spacing: &'a Spacing,
}

/// Saves the trainer as `parent`/step-NNNNNN and returns that folder.
///
/// Errors name the file; what was saved before is untouched, and a half-written folder is removed.
/// Weights that are not finite are not saved.
pub fn save(trainer: &Trainer, labels: Labels, parent: &Path) -> Result<PathBuf, TrainError> {
    save_on(&RealDisk, trainer, labels, parent)
}

/// As [`save`], on any disk.
pub fn save_on(
    disk: &dyn Disk,
    trainer: &Trainer,
    labels: Labels,
    parent: &Path,
) -> Result<PathBuf, TrainError> {
    trainer.check_finite()?;
    let mut files = files(trainer, &labels)?;
    let entries = files.iter().map(|(name, bytes)| (name.clone(), FileEntry::of(bytes))).collect();
    let manifest = Manifest::new(trainer.steps(), config_hash(labels.config), entries);
    let manifest = manifest.to_json().into_bytes();
    let folder = folder(parent, trainer.steps());
    let temporary = beside(&folder, SAVING);
    create_folders(disk, parent).map_err(TrainError::write(parent))?;
    remove_if_there(disk, &temporary)?;
    files.insert(MANIFEST_FILE.into(), manifest);
    let written = write_files(disk, &temporary, files).and_then(|()| replace(disk, &temporary, &folder));
    if written.is_err() {
        // What cannot be removed now is removed before the next save.
        let _ = remove_if_there(disk, &temporary);
    }
    written?;
    Manifest::verify(&folder)?;
    remove_if_there(disk, &beside(&folder, OLD))?;
    Ok(folder)
}

/// Every file synced, the manifest last, then the folders.
fn write_files(disk: &dyn Disk, folder: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<(), TrainError> {
    let mut folders = vec![folder.to_path_buf()];
    disk.create_dir(folder).map_err(TrainError::write(folder))?;
    let last = |(name, _): &(String, Vec<u8>)| name == MANIFEST_FILE;
    let (manifest, others): (Vec<_>, Vec<_>) = files.into_iter().partition(last);
    for (name, bytes) in others.into_iter().chain(manifest) {
        let path = folder.join(&name);
        if let Some(inner) = path.parent().filter(|inner| !folders.iter().any(|made| made == inner)) {
            disk.create_dir(inner).map_err(TrainError::write(inner))?;
            folders.push(inner.into());
        }
        disk.write_new(&path, &bytes).map_err(TrainError::write(&path))?;
        disk.sync_file(&path).map_err(TrainError::write(&path))?;
    }
    for folder in folders.iter().rev() {
        disk.sync_dir(folder).map_err(TrainError::write(folder))?;
    }
    Ok(())
}

/// Puts a whole folder where it belongs.
///
/// What a run that was resumed from an older checkpoint saved at the same step goes out of the way
/// first, so that a whole folder is there at any moment.
fn replace(disk: &dyn Disk, temporary: &Path, folder: &Path) -> Result<(), TrainError> {
    // Where the older checkpoint of the same step waits for the new one.
    let old = beside(folder, OLD);
    let waits = folder.is_dir();
    if waits {
        remove_if_there(disk, &old)?;
        disk.rename(folder, &old).map_err(TrainError::write(folder))?;
    }
    if let Err(error) = disk.rename(temporary, folder) {
        if waits {
            // Back, if that can be done; if not, `latest` finds it where it is.
            let _ = disk.rename(&old, folder);
        }
        return Err(TrainError::write(folder)(error));
    }
    let parent = above(folder);
    disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    // The parent itself may have appeared in a process that was killed before it could sync this.
    let parent = above(parent);
    disk.sync_dir(parent).map_err(TrainError::write(parent))
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), TrainError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => disk.remove(path).map_err(TrainError::write(path)),
        Err(_) => Ok(()),
    }
}

/// What a manifest says of the run's configuration.
pub fn config_hash(config: &str) -> String {
    blake3::hash(config.as_bytes()).to_hex().to_string()
}

/// Every file but the manifest, by its path within the folder.
fn files(trainer: &Trainer, labels: &Labels) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let mut state = BTreeMap::new();
    for (name, tensor) in tensors(&trainer.parameters) {
        for (prefix, moments) in moments(trainer) {
            if let Some(moment) = moments.get(&name) {
                state.insert(format!("{prefix}.{name}"), moment.as_tensor().clone());
            }
        }
        state.insert(format!("weights.{name}"), tensor);
    }
    state.extend(
        trainer.power_averages().into_iter().map(|(name, values)| (format!("{POWER}.{name}"), values)),
    );
    state.insert(STEP.into(), Tensor::new(&[trainer.steps() as i64], &Device::Cpu)?);
    let (unet, parameters) = &trainer.ema;
    let (notes, scheduler) = (notes(trainer, labels.classes), scheduler(trainer, labels.spacing)?);
    let mut files = model_files(unet.config(), parameters, &notes, &scheduler)?;
    files.insert(STATE_FILE.into(), weights_to_bytes(&state)?);
    files.insert(CONFIG_COPY.into(), labels.config.as_bytes().to_vec());
    Ok(files)
}

/// What the optimisers remember, by the beginnings of its names.
fn moments(trainer: &Trainer) -> [(&'static str, &BTreeMap<String, Var>); 3] {
    let Trainer { adam, muon, .. } = trainer;
    [("adam_m", &adam.first), ("adam_v", &adam.second), ("muon_m", &muon.momentum)]
}

/// The notes that a checkpoint's network carries: names of the classes, and the null label, which is
/// none where no label was ever dropped: its row is as it was drawn, and says nothing.
pub fn notes(trainer: &Trainer, classes: &[String]) -> serde_json::Map<String, serde_json::Value> {
    let mut notes = serde_json::Map::new();
    notes.insert("_duet_classes".into(), classes.into());
    if let Some(rows) = trainer.unet.config().num_class_embeds {
        let learned = trainer.options.label_dropout > 0.0;
        notes.insert("_duet_null_label".into(), learned.then_some(rows - 1).into());
    }
    notes
}

/// The scheduler of a checkpoint: the training's own noise levels, and the spacing to visit them in.
pub fn scheduler(trainer: &Trainer, spacing: &Spacing) -> Result<DiffusersScheduler, TrainError> {
    let diffusion = &trainer.diffusion;
    let scheduler = DiffusersScheduler::new(
        &diffusion.schedule,
        diffusion.zero_terminal_snr,
        diffusion.timesteps,
        diffusion.prediction,
    )?;
    let scheduler = match diffusion.beta_range()? {
        Some((start, end)) => scheduler.with_beta_range(start, end)?,
        None => scheduler,
    };
    Ok(scheduler.with_spacing(spacing)?)
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
        "_diffusers_version": DIFFUSERS_VERSION,
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
    for (prefix, moments) in moments(trainer) {
        for (name, var) in moments {
            fill(prefix, name, var)?;
        }
    }
    for (length, powers) in POWER_LENGTHS.iter().zip(&trainer.powers) {
        for (name, var) in powers {
            fill(&format!("{POWER}.{length}"), name, var)?;
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
    trainer.steps = manifest.step;
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
