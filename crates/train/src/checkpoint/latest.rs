//! Finds the newest whole checkpoint.
//!
//! These functions only read, because another process may be saving.

use crate::checkpoint::list::{list, named};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::names::{OLD, folder, is_there};
use crate::error::TrainError;
use std::path::{Path, PathBuf};

/// The largest number of new attempts of a reader, if another process removes the folder that it reads.
const LOOKS: usize = 100;

/// Verifies a checkpoint that has this step in its name. Errors: those of [`Manifest::verify`]; a manifest
/// of another step.
pub fn verify_step(folder: &Path, step: u64) -> Result<Manifest, TrainError> {
    let manifest = Manifest::verify(folder)?;
    match manifest.step == step {
        true => Ok(manifest),
        false => Err(TrainError::checkpoint(
            folder,
            format!("its manifest says step {}; give the folder the name of that step", manifest.step),
        )),
    }
}

/// The newest checkpoint in `parent` whose manifest verifies, and the errors of newer ones.
///
/// If power failed between the two renames of a save at the same step, the older checkpoint of that step
/// has another name; it is found there.
/// Errors: a `parent` that cannot be listed.
pub fn latest(parent: &Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    latest_until(parent, u64::MAX)
}

/// As [`latest`], but only checkpoints up to the step `last`.
pub fn latest_until(parent: &Path, last: u64) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    newest(parent, last, |folder, step| verify_step(folder, step).map(drop))
}

/// As [`latest`], but the network is enough: the training state may be missing.
pub fn latest_model(parent: &Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    latest_model_until(parent, u64::MAX)
}

/// As [`latest_model`], but only checkpoints up to the step `last`.
pub fn latest_model_until(
    parent: &Path,
    last: u64,
) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    newest(parent, last, |folder, _| Manifest::verify_model(folder).map(drop))
}

fn newest(
    parent: &Path,
    last: u64,
    verify: impl Fn(&Path, u64) -> Result<(), TrainError>,
) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    let mut passed = Vec::new();
    'look: for looks in 1..=LOOKS {
        passed.clear();
        for (step, folder) in candidates(parent)?.into_iter().rev().filter(|(step, _)| *step <= last) {
            match verify(&folder, step) {
                Ok(()) => return Ok((Some(folder), passed)),
                // The training process has removed or renamed it in the meantime.
                Err(_) if !is_there(&folder) && looks < LOOKS => continue 'look,
                Err(error) => passed.push(error),
            }
        }
        break;
    }
    Ok((None, passed))
}

/// The checkpoints, and the older ones that wait for a missing new one of their step.
fn candidates(parent: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let waiting = named(parent, OLD)?;
    // List these last: if a save ends in between, its folder appears twice, which is better than not at
    // all.
    let mut found = list(parent)?;
    found.extend(waiting.into_iter().filter(|(step, _)| !is_there(&folder(parent, *step))));
    found.sort();
    Ok(found)
}
