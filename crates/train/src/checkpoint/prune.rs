//! Removes old checkpoints. Only the process that trains the run may do this.

use crate::checkpoint::disk::{Disk, RealDisk};
use crate::checkpoint::latest::verify_step;
use crate::checkpoint::list::{list, named};
use crate::checkpoint::names::{GONE, OLD, SAVING, beside, folder as checkpoint_folder, is_there};
use crate::error::TrainError;
use std::path::Path;

/// Keeps the newest `keep` (at least one) checkpoints up to the step `last` whose manifests verify. Removes
/// the older ones in `parent`, and the remains of broken saves.
///
/// Damaged checkpoints do not count, so that a run can always be resumed. `last` is the step that the run
/// has reached. Checkpoints after it do not count and are not removed.
/// Errors: a checkpoint that cannot be listed, read or removed.
pub fn prune(parent: &Path, last: u64, keep: usize) -> Result<(), TrainError> {
    prune_but(parent, last, keep, None)
}

/// As [`prune`], but the newest whole checkpoint up to the step `also` stays too.
pub fn prune_but(parent: &Path, last: u64, keep: usize, also: Option<u64>) -> Result<(), TrainError> {
    prune_but_on(&RealDisk, parent, (last, keep), also)
}

/// As [`prune`], on any disk.
pub fn prune_on(disk: &dyn Disk, parent: &Path, last: u64, keep: usize) -> Result<(), TrainError> {
    prune_but_on(disk, parent, (last, keep), None)
}

fn prune_but_on(
    disk: &dyn Disk,
    parent: &Path,
    (last, keep): (u64, usize),
    mut also: Option<u64>,
) -> Result<(), TrainError> {
    let remove = |folder: &Path| disk.remove(folder).map_err(TrainError::write(folder));
    for prefix in [SAVING, OLD, GONE] {
        for (step, folder) in named(parent, prefix)? {
            // If the new checkpoint of a step is missing, the older one is the only one of that step and
            // stays.
            if prefix != OLD || is_there(&checkpoint_folder(parent, step)) {
                remove(&folder)?;
            }
        }
    }
    let (mut left, mut gone) = (keep.max(1), Vec::new());
    for (step, folder) in list(parent)?.into_iter().rev().filter(|(step, _)| *step <= last) {
        // Whether it is whole is looked at only where that decides something.
        let wanted = left > 0 || also.is_some_and(|also| step <= also);
        if wanted && verify_step(&folder, step).is_ok() {
            left = left.saturating_sub(1);
            also = also.filter(|&also| step > also);
        } else if left == 0 {
            gone.push(beside(&folder, GONE));
            disk.rename(&folder, &beside(&folder, GONE)).map_err(TrainError::write(&folder))?;
        }
    }
    if !gone.is_empty() {
        // Make the new names durable before removing: nobody may find half a checkpoint under its own name.
        disk.sync_dir(parent).map_err(TrainError::write(parent))?;
    }
    gone.iter().try_for_each(|folder| remove(folder))
}
