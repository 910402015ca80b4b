//! Which checkpoint is the newest that is whole.
//!
//! Whoever reads changes nothing: another process may be saving.

use crate::checkpoint::list::{list, named};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::names::{OLD, folder, is_there};
use crate::error::TrainError;
use std::path::{Path, PathBuf};

/// A reader whose folder was removed under its hands looks again, so often at most.
const LOOKS: usize = 100;

/// Verifies a checkpoint whose name says that it is of this step.
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

/// The newest checkpoint in `parent` whose manifest verifies, with what was wrong with newer ones.
///
/// Where power failed between the two renames of a save at the same step, the older one of that
/// step is found beside its name.
pub fn latest(parent: &Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    latest_until(parent, u64::MAX)
}

/// As [`latest`], of those that are not after a step.
pub fn latest_until(parent: &Path, last: u64) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    newest(parent, last, |folder, step| verify_step(folder, step).map(drop))
}

/// As [`latest`], of those whose network is whole, be their training state there or not.
pub fn latest_model(parent: &Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError> {
    newest(parent, u64::MAX, |folder, _| Manifest::verify_model(folder).map(drop))
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
                // Whoever trains the run has removed or renamed it meanwhile.
                Err(_) if !is_there(&folder) && looks < LOOKS => continue 'look,
                Err(error) => passed.push(error),
            }
        }
        break;
    }
    Ok((None, passed))
}

/// The checkpoints, and those that wait for a new one of their step which is not there.
fn candidates(parent: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let waiting = named(parent, OLD)?;
    // After the others: a save that ends in between shows its folder twice rather than not at all.
    let mut found = list(parent)?;
    found.extend(waiting.into_iter().filter(|(step, _)| !is_there(&folder(parent, *step))));
    found.sort();
    Ok(found)
}
