//! The file `STOP` in a run's folder: somebody asks the process that trains the run to save and stop.

use crate::error::{Result, setting};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Where somebody asks for the end of the training.
pub const STOP: &str = "STOP";

/// Removes a request that came before the training, which is none to this one. The caller has the run's lock.
pub fn remove_old(run: &Path) -> Result<()> {
    remove(run).map(drop).map_err(|(path, cause)| {
        setting(format!(
            "{}: what has this name asks the process that trains the run to save and stop; it is from before and cannot \
             be removed: {cause}; remove it, then begin again",
            path.display()
        ))
    })
}

/// Whether there was a request; an error where there still is one.
pub fn remove(run: &Path) -> Result<bool, (PathBuf, Error)> {
    let path = run.join(STOP);
    if std::fs::symlink_metadata(&path).is_err() {
        return Ok(false);
    }
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err((path, cause)),
    }
}
