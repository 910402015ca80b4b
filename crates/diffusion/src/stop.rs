//! The file `STOP` in a run's folder: somebody asks the process that trains the run to save and stop.

use crate::error::{Result, setting};
use crate::run_folder::{STOP, is_locked, write_whole};
use duet_train::TrainError;
use std::io::ErrorKind;
use std::path::Path;

/// Whether a process trains the run.
pub fn is_trained(run: &Path) -> bool {
    is_locked(run)
}

/// Asks the process that trains the run to save and stop after its step.
///
/// # Errors
/// Where no process trains the run, or nothing can be written into its folder.
pub fn ask_to_stop(run: &Path) -> Result<()> {
    if !is_locked(run) {
        return Err(setting(format!("{}: no process trains this run now", run.display())));
    }
    write_whole(&run.join(STOP), "stop\n")
}

/// Takes the request away, if there is one.
pub(crate) fn take(run: &Path) -> Result<bool> {
    let path = run.join(STOP);
    if std::fs::symlink_metadata(&path).is_err() {
        return Ok(false);
    }
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(TrainError::Write { path, cause }.into()),
    }
}
