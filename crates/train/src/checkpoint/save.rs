//! Saves a checkpoint: it exists with all its bytes, or not at all.

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

/// The file with the run's configuration at the time of the save.
pub const CONFIG_COPY: &str = "run_config.toml";

/// What a checkpoint stores besides the trainer's state.
#[derive(Debug, Clone, Copy)]
pub struct Annotations<'a> {
    /// Names of the classes, in the order of their labels.
    pub classes: &'a [String],
    /// The run's configuration, kept in the checkpoint.
    pub config: &'a str,
    /// The timestep spacing in the scheduler's file.
    pub spacing: &'a Spacing,
}

/// Saves the trainer as `parent`/step-NNNNNN and returns that folder.
///
/// Errors: weights that are not finite; a file that cannot be written (the error names it). After an error,
/// older checkpoints are as they were, and the half-written folder is removed.
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
        // If this fails, the next save removes the folder.
        let _ = remove_if_there(disk, &temporary);
    }
    written?;
    Manifest::verify(&folder)?;
    remove_if_there(disk, &beside(&folder, OLD))?;
    Ok(folder)
}

/// Writes and syncs every file, the manifest last, then syncs the folders.
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

/// Renames a whole folder to its final name.
///
/// A resumed run may save a step a second time. The older folder is then renamed first, so that a whole
/// folder exists at any moment.
fn replace(disk: &dyn Disk, temporary: &Path, folder: &Path) -> Result<(), TrainError> {
    // The older checkpoint of the same step waits here for the new one.
    let old = beside(folder, OLD);
    let waits = folder.is_dir();
    if waits {
        remove_if_there(disk, &old)?;
        disk.rename(folder, &old).map_err(TrainError::write(folder))?;
    }
    if let Err(error) = disk.rename(temporary, folder) {
        if waits {
            // Rename it back; if this fails, `latest` finds it under the other name.
            let _ = disk.rename(&old, folder);
        }
        return Err(TrainError::write(folder)(error));
    }
    let parent = folder_above(folder);
    disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    // A process may have made the parent and then been killed before it synced the parent's name.
    let parent = folder_above(parent);
    disk.sync_dir(parent).map_err(TrainError::write(parent))
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), TrainError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => disk.remove(path).map_err(TrainError::write(path)),
        Err(_) => Ok(()),
    }
}

/// The hash of the run's configuration in a manifest: BLAKE3, hexadecimal.
pub fn config_hash(config: &str) -> String {
    blake3::hash(config.as_bytes()).to_hex().to_string()
}

/// All files except the manifest, by their paths in the folder.
fn files(trainer: &Trainer, annotations: &Annotations) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let (unet, parameters) = &trainer.ema;
    let state = state::tensors(trainer)?;
    let (notes, scheduler) = (notes(trainer, annotations.classes), scheduler(trainer, annotations.spacing)?);
    let mut files = model_files(unet.config(), parameters, &notes, &scheduler)?;
    files.insert(STATE_FILE.into(), weights_to_bytes(&state)?);
    files.insert(CONFIG_COPY.into(), annotations.config.as_bytes().to_vec());
    Ok(files)
}
