//! Folders that Duet makes when it runs beside images. They are not classes.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::listing::Listing;
use crate::tree::Tree;

/// Whether a folder is that of a run, a model or a sweep, or holds only such folders. `inside` are the
/// folders in it.
pub(crate) fn is_made(
    tree: &dyn Tree,
    folder: &Path,
    inside: &[PathBuf],
    has_images: bool,
) -> Result<bool, DataError> {
    if is_one(tree, folder)? {
        return Ok(true);
    }
    if inside.is_empty() || has_images {
        return Ok(false);
    }
    // A run that was killed at once leaves an empty folder.
    let may_be_empty = folder.file_name().is_some_and(|name| name == "runs");
    for inside in inside {
        let made = is_one(tree, inside)? || may_be_empty && Listing::of(tree, inside)?.is_empty();
        if !made {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Recognises the folder by files that only such a folder has.
fn is_one(tree: &dyn Tree, folder: &Path) -> Result<bool, DataError> {
    let file = |name: &str| tree.is_file(&folder.join(name));
    let inside = |name: &str| tree.is_folder(&folder.join(name));
    let run = file("config.toml") && (file("LOCK") || file("metrics.jsonl") || inside("checkpoints"));
    let model = file("model_index.json") || inside("unet") && inside("scheduler");
    let sweep = file("table.csv") && inside("cells");
    if run || model || sweep {
        return Ok(true);
    }
    // This is a run that was killed before it had a configuration.
    Ok(file("LOCK") && {
        let listing = Listing::of(tree, folder)?;
        listing.files.len() == 1 && listing.folders.is_empty()
    })
}
