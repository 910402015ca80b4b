//! Which checkpoints are there.
//!
//! Whoever reads changes nothing: another process may be saving.

use crate::checkpoint::names::{is_there, step_behind};
use crate::error::TrainError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The checkpoints in `parent`, oldest first, by the steps in their names.
///
/// Where `parent` is absent there are none. Where it cannot be listed, or is a link to what is not
/// there, that is an error: the checkpoints may be whole.
pub fn list(parent: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    named(parent, "")
}

/// The folders in `parent` that are named `prefix`step-N, by N.
pub(crate) fn named(parent: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, TrainError> {
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
        // A link may lead to a disk that is not there now, so it is not looked through.
        if let Some(step) = step_behind(&entry.path(), prefix)
            && !entry.file_type().map_err(failed)?.is_file()
        {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
