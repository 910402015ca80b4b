//! Prepares the checkpoints of a run that continues. Only the process that trains the run may do this.

use crate::checkpoint::disk::Disk;
use crate::checkpoint::list::{list, named};
use crate::checkpoint::names::{ASIDE, OLD, beside, folder, followed, is_there};
use crate::error::TrainError;
use std::iter;
use std::path::{Path, PathBuf};

/// Gives older checkpoints their names back, if the new one of their step is missing. Errors: those of
/// `disk`.
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

/// Renames the checkpoints after a step, and returns the new paths. The run continues from that step, and
/// must not resume from the later ones next time. Errors: those of `disk`.
pub fn set_aside(disk: &dyn Disk, parent: &Path, after: u64) -> Result<Vec<PathBuf>, TrainError> {
    let mut moved = Vec::new();
    for (_, folder) in list(parent)?.into_iter().filter(|(step, _)| *step > after) {
        let first = beside(&folder, ASIDE);
        let numbered = (2u64..).map(|i| followed(&first, &format!("-{i}")));
        let mut free = iter::once(first.clone()).chain(numbered).filter(|path| !is_there(path));
        let aside = free.next().unwrap_or(first);
        disk.rename(&folder, &aside).map_err(TrainError::write(&aside))?;
        moved.push(aside);
    }
    if !moved.is_empty() {
        disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    }
    Ok(moved)
}
