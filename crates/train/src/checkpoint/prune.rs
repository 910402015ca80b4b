//! Which checkpoints go. It is for the process that trains the run.

use crate::checkpoint::disk::{Disk, RealDisk};
use crate::checkpoint::latest::verify_step;
use crate::checkpoint::list::{list, named};
use crate::checkpoint::names::{GONE, OLD, SAVING, beside, folder as checkpoint_folder, is_there};
use crate::error::TrainError;
use std::path::Path;

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
            if prefix != OLD || is_there(&checkpoint_folder(parent, step)) {
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
