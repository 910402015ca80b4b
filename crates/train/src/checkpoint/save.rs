//! Saving: a checkpoint is there with all its bytes, or not at all.

use crate::checkpoint::disk::{Disk, RealDisk, create_folders, folder_above};
use crate::checkpoint::manifest::{FileEntry, MANIFEST_FILE, Manifest, STATE_FILE};
use crate::checkpoint::names::{OLD, SAVING, beside, folder};
use crate::checkpoint::of_trainer::{notes, scheduler};
use crate::checkpoint::state;
use crate::error::TrainError;
use crate::model_folder::model_files;
use crate::trainer::Trainer;
use duet_model::weights_to_bytes;
use duet_schedule::Spacing;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The run's configuration as it was when the checkpoint was saved.
pub const CONFIG_COPY: &str = "run_config.toml";

/// What a checkpoint says beside the trainer's own state.
#[derive(Debug, Clone, Copy)]
pub struct Annotations<'a> {
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
pub fn save(trainer: &Trainer, annotations: Annotations, parent: &Path) -> Result<PathBuf, TrainError> {
    save_on(&RealDisk, trainer, annotations, parent)
}

/// As [`save`], on any disk.
pub fn save_on(
    disk: &dyn Disk,
    trainer: &Trainer,
    annotations: Annotations,
    parent: &Path,
) -> Result<PathBuf, TrainError> {
    trainer.check_finite()?;
    let mut files = files(trainer, &annotations)?;
    let entries = files.iter().map(|(name, bytes)| (name.clone(), FileEntry::of(bytes))).collect();
    let manifest = Manifest::new(trainer.steps(), config_hash(annotations.config), entries);
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
    let parent = folder_above(folder);
    disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    // The parent itself may have appeared in a process that was killed before it could sync this.
    let parent = folder_above(parent);
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
fn files(trainer: &Trainer, annotations: &Annotations) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let (unet, parameters) = &trainer.ema;
    let state = state::tensors(trainer)?;
    let (notes, scheduler) = (notes(trainer, annotations.classes), scheduler(trainer, annotations.spacing)?);
    let mut files = model_files(unet.config(), parameters, &notes, &scheduler)?;
    files.insert(STATE_FILE.into(), weights_to_bytes(&state)?);
    files.insert(CONFIG_COPY.into(), annotations.config.as_bytes().to_vec());
    Ok(files)
}
