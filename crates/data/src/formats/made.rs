//! Folders that Duet makes when it runs beside images. They are not classes.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::listing::Listing;

/// Whether a folder is that of a run, a model or a sweep, or holds only such folders. `inside` are the
/// folders in it.
pub(crate) fn is_made(folder: &Path, inside: &[PathBuf], has_images: bool) -> Result<bool, DataError> {
    if is_one(folder)? {
        return Ok(true);
    }
    if inside.is_empty() || has_images {
        return Ok(false);
    }
    // A run that was killed at once leaves an empty folder.
    let may_be_empty = folder.file_name().is_some_and(|name| name == "runs");
    for inside in inside {
        let made = is_one(inside)? || may_be_empty && Listing::of(inside)?.is_empty();
        if !made {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Recognises the folder by files that only such a folder has.
fn is_one(folder: &Path) -> Result<bool, DataError> {
    let file = |name: &str| folder.join(name).is_file();
    let inside = |name: &str| folder.join(name).is_dir();
    let run = file("config.toml") && (file("LOCK") || file("metrics.jsonl") || inside("checkpoints"));
    let model = file("model_index.json") || inside("unet") && inside("scheduler");
    let sweep = file("table.csv") && inside("cells");
    if run || model || sweep {
        return Ok(true);
    }
    // This is a run that was killed before it had a configuration.
    Ok(file("LOCK") && {
        let listing = Listing::of(folder)?;
        listing.files.len() == 1 && listing.folders.is_empty()
    })
}
