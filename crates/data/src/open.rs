//! Opens a directory by its content.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::dataset::Splits;
use crate::error::{DataError, shown};
use crate::fit;
use crate::format::{Format, Found, Location, Tried};
use crate::formats::{ARCHIVE, FORMATS};
use crate::listing::Listing;
use crate::options::FolderOptions;
use crate::tree::Disk;

/// Opens a data set. It compares the content of `dir` with these formats, in this order:
///
/// 1. IDX files under MNIST's or EMNIST's names, gzipped or not, also in `raw/` or `gzip/`. Of
///    several EMNIST splits in one directory, naming a file instead of the directory chooses one.
/// 2. CIFAR-10 and CIFAR-100, their binary or Python versions, also in the folders of the published archives.
/// 3. NumPy's arrays: a `.npz` file that is named, or `.npz` and `.npy` files in a directory without
///    folders, called what they are, such as `train_images` or `y_test`.
/// 4. A table of images, `.csv` or `.csv.gz`, that is named or alone, or `train.csv` with `test.csv`.
/// 5. Parquet: a file that is named, or those of a directory, of `data/` or of folders called as splits. The
///    feature `parquet` reads it.
/// 6. An archive, `.zip`, `.tar` or `.tar.gz`, that is named or alone: of what 7 and 8 say, read in place;
///    or webdataset's shards, `.tar` files of images with their labels as `.cls`.
/// 7. Images with EDM's `dataset.json`.
/// 8. One folder of image files per class ([`IMAGE_FORMATS`](crate::IMAGE_FORMATS)), or such folders inside `train/` and `test/` (or
///    `val/`). Without the latter, about every tenth image of a class is held out for the test
///    split, chosen by a hash of class and file name: the same on every machine.
///
/// Class names are the folders', the format's own, or one a line in `classes.txt` beside IDX,
/// CIFAR, NumPy or parquet files, tables, shards and EDM's images.
///
/// # Errors
/// Anything that is wrong with the files. The message names the file, the cause and the remedy. See
/// [`DataError`].
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Splits, DataError> {
    fit::check(options)?;
    let (dir, chosen) = directory_and_choice(dir)?;
    let listing = Listing::of(&Disk, &dir)?;
    match found(&dir, &listing, chosen.as_deref())? {
        Some((format, found)) => {
            if !format.may_have_two_labels {
                options.check_no_label(&dir)?;
            }
            let mut splits = found(&folder_name(&dir, format), options)?;
            if chosen.is_none() {
                splits.left_out.extend(archives_beside(&listing, format));
            }
            Ok(splits)
        }
        None => Err(DataError::NotRecognised {
            dir,
            seen: listing.describe(),
            formats: FORMATS.iter().map(|format| format.holds).collect(),
        }),
    }
}

/// The data set in the first format that matches: first formats with file names of their own, in the
/// directory and then in its subfolders, then the other formats.
fn found(
    dir: &Path,
    listing: &Listing,
    chosen: Option<&str>,
) -> Result<Option<(&'static Format, Found)>, DataError> {
    let place = Location { dir, listing, chosen };
    let formats = candidates(chosen);
    let tried = |when| formats.iter().copied().filter(move |format| format.tried == when);
    for format in tried(Tried::ByName) {
        if let Some(found) = (format.find)(&place)? {
            return Ok(Some((format, found)));
        }
    }
    for format in tried(Tried::ByName) {
        for sub in format.subfolders.iter().map(|sub| dir.join(sub)).filter(|sub| sub.is_dir()) {
            let place = Location { dir: &sub, listing: &Listing::of(&Disk, &sub)?, chosen: None };
            if let Some(found) = (format.find)(&place)? {
                return Ok(Some((format, found)));
            }
        }
    }
    for format in tried(Tried::Otherwise) {
        if let Some(found) = (format.find)(&place)? {
            return Ok(Some((format, found)));
        }
    }
    Ok(None)
}

/// The formats that may be there. A file that was named is one of theirs, and not of a format that is beside it.
fn candidates(chosen: Option<&str>) -> Vec<&'static Format> {
    let Some(name) = chosen else { return FORMATS.iter().collect() };
    let by_name: Vec<_> = FORMATS.iter().filter(|format| (format.is_file_of_set)(name)).collect();
    if by_name.is_empty() { vec![&ARCHIVE] } else { by_name }
}

/// A sentence about archives in a directory of another format.
fn archives_beside(listing: &Listing, format: &Format) -> Option<String> {
    let mut archives = listing.archives().filter(|name| !(format.is_file_of_set)(name));
    let first = shown(Path::new(archives.next()?));
    Some(match archives.count() {
        0 => format!("the archive {first} beside the images is left out; name it itself to read it"),
        more => format!("{} archives beside the images are left out, such as {first}", more + 1),
    })
}

/// The directory, and the file in it if a file was named instead of the directory.
fn directory_and_choice(path: &Path) -> Result<(PathBuf, Option<String>), DataError> {
    let there = fs::metadata(path).map_err(|e| DataError::read(path, e))?;
    if there.is_dir() {
        return Ok((path.into(), None));
    }
    match path.file_name().and_then(OsStr::to_str) {
        Some(name) if FORMATS.iter().any(|format| (format.is_file_of_set)(name)) || is_archive(path)? => {
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

/// Whether a file is an archive by its content.
fn is_archive(path: &Path) -> Result<bool, DataError> {
    match archive::of_file(path) {
        Ok(kind) => Ok(kind.is_some()),
        // The caller has a better sentence about what is no file.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(DataError::read(path, error)),
    }
}

/// The directory's name for people: not that of a subfolder which every set of this format has.
fn folder_name(dir: &Path, format: &Format) -> String {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
    let mut names = full.iter().rev().filter_map(OsStr::to_str);
    names.find(|name| !format.subfolders.contains(name)).unwrap_or("data").into()
}
