//! The folder of a run's checkpoints: which are there, which is the newest, and which go.
//!
//! Whoever reads changes nothing: another process may be saving. What renames and removes is for
//! the process that trains the run.

use crate::{Disk, Manifest, RealDisk, TrainError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const PREFIX: &str = "step-";
/// Before the name of what is not whole yet.
pub(crate) const SAVING: &str = ".saving-";
/// Before the name of a checkpoint that waits for the new one of its step.
pub(crate) const OLD: &str = ".old-";
/// Before the name of what is being removed.
const GONE: &str = ".gone-";
/// Before the name of what a resume from an older checkpoint left behind.
const ASIDE: &str = "aside-";
/// A reader whose folder was removed under its hands looks again, so often at most.
const LOOKS: usize = 100;

/// Where a checkpoint of this step is, or would be.
pub fn folder(parent: &Path, step: u64) -> PathBuf {
    parent.join(format!("{PREFIX}{step:06}"))
}

/// The folder of the same name behind a prefix.
pub(crate) fn beside(folder: &Path, prefix: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{prefix}{name}"))
}

/// The checkpoints in `parent`, oldest first, by the steps in their names.
///
/// Where `parent` is absent there are none. Where it cannot be listed, or is a link to what is not
/// there, that is an error: the checkpoints may be whole.
pub fn list(parent: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    named(parent, "")
}

/// The folders in `parent` that are named `prefix`step-N, by N.
fn named(parent: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let failed = |cause: io::Error| {
        let cause = match cause.kind() {
            ErrorKind::NotFound => io::Error::other("it is a link to what is not there; mount its disk"),
            _ => cause,
        };
        TrainError::Read { path: parent.into(), cause }
    };
    let entries = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_there(parent) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_prefix(PREFIX));
        let Some(digits) = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        // A link may lead to a disk that is not there now, so it is not looked through.
        if let Ok(step) = digits.parse()
            && !entry.file_type().map_err(failed)?.is_file()
        {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a name is there, be it a link to nothing.
fn is_there(path: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

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

/// Gives the names that are missing back to the folders that waited for a new one of their step.
pub fn restore(disk: &dyn Disk, parent: &Path) -> Result<(), TrainError> {
    for (step, old) in named(parent, OLD)? {
        let folder = folder(parent, step);
        if !is_there(&folder) {
            disk.rename(&old, &folder).map_err(TrainError::write(&folder))?;
            disk.sync_dir(parent).map_err(TrainError::write(parent))?;
        }
    }
    Ok(())
}

/// Puts the checkpoints after a step aside under names of their own, which are returned: the run
/// goes on from that step, and they are no more what it goes on from next time.
pub fn set_aside(disk: &dyn Disk, parent: &Path, after: u64) -> Result<Vec<PathBuf>, TrainError> {
    let mut moved = Vec::new();
    for (_, folder) in list(parent)?.into_iter().filter(|(step, _)| *step > after) {
        let first = beside(&folder, ASIDE);
        let name = first.display();
        let mut numbered = (2..).map(|i| PathBuf::from(format!("{name}-{i}")));
        let aside =
            if is_there(&first) { numbered.find(|path| !is_there(path)) } else { Some(first.clone()) };
        let aside = aside.unwrap_or(first);
        disk.rename(&folder, &aside).map_err(TrainError::write(&aside))?;
        moved.push(aside);
    }
    if !moved.is_empty() {
        disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    }
    Ok(moved)
}

/// Removes the checkpoints in `parent` that are older than the newest `keep` (at least one) up to
/// the step `last` whose manifests verify, and what broken saves left behind.
///
/// A damaged one does not count: what a run can still be resumed from is kept. Those after `last`,
/// the step that the run has reached, neither count nor go.
pub fn prune(parent: &Path, last: u64, keep: usize) -> Result<(), TrainError> {
    prune_on(&RealDisk, parent, last, keep)
}

/// As [`prune`], on any disk.
pub fn prune_on(disk: &dyn Disk, parent: &Path, last: u64, keep: usize) -> Result<(), TrainError> {
    let remove = |folder: &Path| disk.remove(folder).map_err(TrainError::write(folder));
    for prefix in [SAVING, OLD, GONE] {
        for (step, folder) in named(parent, prefix)? {
            // The older one of a step is the only one where the new one is not there.
            if prefix != OLD || is_there(&self::folder(parent, step)) {
                remove(&folder)?;
            }
        }
    }
    let (mut left, mut gone) = (keep.max(1), Vec::new());
    for (step, folder) in list(parent)?.into_iter().rev().filter(|(step, _)| *step <= last) {
        if left == 0 {
            gone.push(beside(&folder, GONE));
            disk.rename(&folder, &beside(&folder, GONE)).map_err(TrainError::write(&folder))?;
        } else if verify_step(&folder, step).is_ok() {
            left -= 1;
        }
    }
    if !gone.is_empty() {
        // The other names first, for good: nobody finds half a checkpoint under its own.
        disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    }
    gone.iter().try_for_each(|folder| remove(folder))
}
