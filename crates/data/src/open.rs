//! Opens a directory by its content.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::Splits;
use crate::error::DataError;
use crate::fit;
use crate::format::{Format, Found, Location, Tried};
use crate::formats::FORMATS;
use crate::listing::Listing;
use crate::options::FolderOptions;

/// Opens a data set. It compares the content of `dir` with these formats, in this order:
///
/// 1. IDX files under MNIST's or EMNIST's names, gzipped or not, also in `raw/` or `gzip/`. Of
///    several EMNIST splits in one directory, naming a file instead of the directory chooses one.
/// 2. CIFAR-10's binary batches, also in `cifar-10-batches-bin/`.
/// 3. NumPy's arrays: a `.npz` file that is named, or `.npz` and `.npy` files in a directory without
///    folders, called what they are, such as `train_images` or `y_test`.
/// 4. A table of images, `.csv` or `.csv.gz`, that is named or alone, or `train.csv` with `test.csv`.
/// 5. One folder of image files per class ([`IMAGE_FORMATS`](crate::IMAGE_FORMATS)), or such folders inside `train/` and `test/` (or
///    `val/`). Without the latter, about every tenth image of a class is held out for the test
///    split, chosen by a hash of class and file name: the same on every machine.
///
/// Class names are the folders', the format's own, or one a line in `classes.txt` beside IDX,
/// CIFAR or NumPy files and tables.
///
/// # Errors
/// Anything that is wrong with the files. The message names the file, the cause and the remedy. See
/// [`DataError`].
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Splits, DataError> {
    fit::check(options)?;
    let (dir, chosen) = directory_and_choice(dir)?;
    let listing = Listing::of(&dir)?;
    match found(&dir, &listing, chosen.as_deref())? {
        Some(found) => found(&folder_name(&dir), options),
        None => Err(DataError::NotRecognised {
            dir,
            seen: listing.describe(),
            formats: FORMATS.iter().map(|format| format.holds).collect(),
        }),
    }
}

/// The data set in the first format that matches: first formats with file names of their own, in the
/// directory and then in its subfolders, then the other formats.
fn found(dir: &Path, listing: &Listing, chosen: Option<&str>) -> Result<Option<Found>, DataError> {
    let place = Location { dir, listing, chosen };
    for format in tried(Tried::ByName) {
        if let Some(found) = (format.find)(&place)? {
            return Ok(Some(found));
        }
    }
    for format in tried(Tried::ByName) {
        for sub in format.subfolders.iter().map(|sub| dir.join(sub)).filter(|sub| sub.is_dir()) {
            let place = Location { dir: &sub, listing: &Listing::of(&sub)?, chosen: None };
            if let Some(found) = (format.find)(&place)? {
                return Ok(Some(found));
            }
        }
    }
    for format in tried(Tried::Otherwise) {
        if let Some(found) = (format.find)(&place)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn tried(when: Tried) -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().filter(move |format| format.tried == when)
}

/// The directory, and the file in it if a file was named instead of the directory.
fn directory_and_choice(path: &Path) -> Result<(PathBuf, Option<String>), DataError> {
    let there = fs::metadata(path).map_err(|e| DataError::read(path, e))?;
    if there.is_dir() {
        return Ok((path.into(), None));
    }
    match path.file_name().and_then(OsStr::to_str) {
        Some(name) if FORMATS.iter().any(|format| (format.is_file_of_set)(name)) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            let dir = parent.unwrap_or(Path::new("."));
            Ok((dir.into(), Some(name.into())))
        }
        _ => Err(DataError::malformed(
            path,
            "is a file and not a directory",
            "name the directory that the data set is in",
        )),
    }
}

/// The directory's name for people.
fn folder_name(dir: &Path) -> String {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
    full.iter()
        .rev()
        .filter_map(OsStr::to_str)
        .find(|name| !FORMATS.iter().any(|format| format.subfolders.contains(name)))
        .unwrap_or("data")
        .into()
}
