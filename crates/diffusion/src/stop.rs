//! Asking the process that trains a run to save and stop.

use crate::error::{Result, setting};
use crate::run_folder::{is_locked, write_whole};
use crate::stop_file::{STOP, remove};
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

/// Whether there is a request, which is taken away. One that cannot be removed is a request too, with a warning.
pub(crate) fn take(run: &Path) -> bool {
    remove(run).unwrap_or_else(|(path, cause)| {
        log::warn!(
            "{}: this request to stop cannot be removed: {cause}; remove it before the run goes on",
            path.display()
        );
        true
    })
}
