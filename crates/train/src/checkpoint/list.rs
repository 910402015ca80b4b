//! Lists the checkpoints.
//!
//! These functions only read, because another process may be saving.

use crate::checkpoint::names::{is_there, step_behind};
use crate::error::TrainError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The checkpoints in `parent`, oldest first, by the steps in their names.
///
/// If `parent` is absent, the list is empty.
/// Errors: a `parent` that cannot be listed, or a link to an absent folder. The checkpoints may still be
/// whole.
pub fn list(parent: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    named(parent, "")
}

/// The folders in `parent` with the name `prefix`step-N, ordered by N.
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
        // A link is listed without following it: its disk may be absent now.
        if let Some(step) = step_behind(&entry.path(), prefix)
            && !entry.file_type().map_err(failed)?.is_file()
        {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
