//! A run's snapshots of averages, and the list of their hashes.

use crate::error::{Result, Within};
use crate::run_folder::{SNAPSHOTS, write_whole};
use duet_train::{FileEntry, RealDisk, TrainError, Trainer, create_folders};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PREFIX: &str = "step-";
const EXTENSION: &str = ".safetensors";
/// Size and hash of each snapshot by its name; runs of older versions have no such list.
const LIST: &str = "hashes.json";
/// A longer list is that of no run.
const MAX_LIST: u64 = 1 << 26;

type Hashes = BTreeMap<String, FileEntry>;

/// Keeps the averages of a step for later.
pub fn keep(trainer: &Trainer, run: &Path) -> Result<()> {
    let bytes = duet_model::weights_to_bytes(&trainer.power_averages())?;
    keep_in(&run.join(SNAPSHOTS), trainer.steps(), &bytes)
}

/// Keeps weights of a step in a folder, and their hash.
pub fn keep_in(folder: &Path, step: u64, bytes: &[u8]) -> Result<()> {
    create_folders(&RealDisk, folder).map_err(|cause| TrainError::Write { path: folder.into(), cause })?;
    let name = name_of(step);
    let mut hashes = read(folder)?;
    hashes.insert(name.clone(), FileEntry::of(bytes));
    // A run that is killed between the two takes the step again.
    write_whole(&folder.join(name), bytes)?;
    write_whole(&folder.join(LIST), serde_json::to_string_pretty(&hashes)? + "\n")
}

/// The file of a step in a folder, whose hash is the one that was noted.
pub fn whole_in(folder: &Path, step: u64) -> Result<PathBuf> {
    let path = folder.join(name_of(step));
    let missing = || TrainError::Checkpoint {
        path: path.clone(),
        reason: format!(
            "{LIST} does not list it; resume from a checkpoint up to step {step}, which takes it again"
        ),
    };
    let hashes = read(folder)?;
    check_one(&path, hashes.get(&name_of(step)).ok_or_else(missing)?)?;
    Ok(path)
}

fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:06}{EXTENSION}")
}

/// The weights that a folder keeps by their steps, in rising order.
pub fn list(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| Some((step_of(entry.file_name().to_str()?)?, entry.path())));
    let mut files: Vec<(u64, PathBuf)> = numbered.collect();
    files.sort();
    files
}

fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(EXTENSION)?.parse().ok()
}

/// Holds the weights that a folder keeps of each step up to `last` against the list, those too that are missing.
pub fn check(folder: &Path, last: u64) -> Result<Vec<(PathBuf, Result<String>)>> {
    let hashes = read(folder)?;
    let mut found = Vec::new();
    for (name, entry) in hashes.iter().filter(|(name, _)| step_of(name).is_some_and(|step| step <= last)) {
        found.push((folder.join(name), check_one(&folder.join(name), entry)));
    }
    for (step, path) in list(folder).into_iter().filter(|(step, _)| *step <= last) {
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| hashes.contains_key(name)) {
            found.push((path, Ok(format!("step {step}, its hash is not noted"))));
        }
    }
    Ok(found)
}

fn check_one(path: &Path, entry: &FileEntry) -> Result<String> {
    let damaged = |reason: String| TrainError::Checkpoint {
        path: path.into(),
        reason: format!(
            "damaged: {reason}; put it back, or resume from a checkpoint before it, which takes it again"
        ),
    };
    match entry.difference(path) {
        Ok(None) => Ok(format!("{} bytes", entry.size)),
        Ok(Some(difference)) => Err(damaged(difference).into()),
        Err(cause) => Err(TrainError::of_reading(path, cause, |cause| damaged(cause.to_string())).into()),
    }
}

/// The list; empty where there is none.
fn read(folder: &Path) -> Result<Hashes> {
    let path = folder.join(LIST);
    let text = match duet_files::read_text(&path, MAX_LIST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Hashes::new()),
        text => text.map_err(|cause| {
            let damaged = |cause: std::io::Error| damaged_list(&path, &cause);
            TrainError::of_reading(&path, cause, damaged)
        })?,
    };
    serde_json::from_str(&text).map_err(|error| damaged_list(&path, &error)).within("snapshots")
}

fn damaged_list(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    let reason = format!("damaged: {error}; remove it to go on without the hashes of the snapshots");
    TrainError::Checkpoint { path: path.into(), reason }
}
