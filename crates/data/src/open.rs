//! Opening a directory by what is in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, Splits, cifar, decode, fit, folder, idx};

/// Where the common downloaders put IDX files below the directory that they are given.
const IDX_SUBFOLDERS: [&str; 2] = ["raw", "gzip"];

/// What a person wants of images, whatever their files hold. The default takes them as they are, within
/// [`MAX_PIXELS`] a file and [`MAX_BYTES`] a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOptions {
    /// Rows and columns: each image's middle square, resized. `None`: as they are, which for an
    /// image folder means that all must be of one size.
    pub image_size: Option<usize>,
    /// 1 (grey) or 3 (RGB). `None`: for an image folder 1 if every image is grey and 3 otherwise,
    /// and what the format has for the others.
    pub channels: Option<usize>,
    /// Most pixels of one image file. A few bytes of a file can hold very many.
    pub max_pixels: u64,
    /// Most bytes of a data set's pixels, which are all in memory.
    pub max_bytes: u64,
}

/// Pixels of one image file that are read unless more are asked for: 64 megapixels.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Bytes of a data set that are read unless more are asked for: 4 gigabytes.
pub const MAX_BYTES: u64 = 4_000_000_000;

impl Default for FolderOptions {
    fn default() -> Self {
        Self { image_size: None, channels: None, max_pixels: MAX_PIXELS, max_bytes: MAX_BYTES }
    }
}

/// Opens a data set by looking at what is in `dir`, in this order:
///
/// 1. IDX files under MNIST's or EMNIST's names, gzipped or not, also in `raw/` or `gzip/`. Of
///    several EMNIST splits in one directory, naming a file instead of the directory chooses one.
/// 2. CIFAR-10's binary batches, also in `cifar-10-batches-bin/`.
/// 3. One folder of PNG or JPEG images per class, or such folders inside `train/` and `test/` (or
///    `val/`). Without the latter, about every tenth image of a class is held out for the test
///    split, chosen by a hash of class and file name: the same on every machine.
///
/// Class names are the folders', the format's own, or one a line in `classes.txt` beside IDX or
/// CIFAR files.
///
/// # Errors
/// Anything about the files that is not as it should be; the message says which, why, and what to
/// do. See [`DataError`].
pub fn open(dir: &Path, options: &FolderOptions) -> Result<Splits, DataError> {
    fit::check(options)?;
    let (dir, chosen) = directory_and_choice(dir)?;
    let listing = Listing::of(&dir)?;

    if let Some(set) = idx::find(&dir, &listing.files, chosen.as_deref())? {
        return fit::splits(set.read(&folder_name(&dir), options.max_bytes)?, options);
    }
    if cifar::is_here(&listing.files) {
        return fit::splits(cifar::read(&dir, options.max_bytes)?, options);
    }
    for sub in IDX_SUBFOLDERS.map(|sub| dir.join(sub)) {
        if sub.is_dir()
            && let Some(set) = idx::find(&sub, &Listing::of(&sub)?.files, None)?
        {
            return fit::splits(set.read(&folder_name(&dir), options.max_bytes)?, options);
        }
    }
    let batches = dir.join(cifar::SUBFOLDER);
    if batches.is_dir() && cifar::is_here(&Listing::of(&batches)?.files) {
        return fit::splits(cifar::read(&batches, options.max_bytes)?, options);
    }
    match folder::find(&dir, &listing)? {
        Some(found) => found.read(&folder_name(&dir), options),
        None => Err(DataError::NotRecognised { seen: listing.describe(), dir }),
    }
}

/// The directory, and the file in it that was named instead, if one was.
fn directory_and_choice(path: &Path) -> Result<(PathBuf, Option<String>), DataError> {
    let there = fs::metadata(path).map_err(|e| DataError::read(path, e))?;
    if there.is_dir() {
        return Ok((path.into(), None));
    }
    match path.file_name().and_then(OsStr::to_str) {
        Some(name) if idx::is_idx_name(name) => {
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

/// The name that a person knows the directory by.
fn folder_name(dir: &Path) -> String {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.into());
    full.iter()
        .rev()
        .filter_map(OsStr::to_str)
        .find(|name| !IDX_SUBFOLDERS.contains(name))
        .unwrap_or("data")
        .into()
}

/// What is directly in a directory, without hidden entries, in byte order.
pub(crate) struct Listing {
    /// Names of files, and of links to files; names that are not UTF-8 are none that we know.
    pub files: Vec<String>,
    /// Paths of folders, and links to folders.
    pub folders: Vec<PathBuf>,
}

impl Listing {
    pub(crate) fn of(dir: &Path) -> Result<Self, DataError> {
        let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
        for path in entries(dir)? {
            if path.is_dir() {
                listing.folders.push(path);
            } else if let Some(name) = path.file_name().and_then(OsStr::to_str)
                && path.is_file()
            {
                listing.files.push(name.into());
            }
        }
        Ok(listing)
    }

    pub(crate) fn has_images(&self) -> bool {
        self.images() > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// Number of files that are named as images are.
    pub(crate) fn images(&self) -> usize {
        self.files.iter().filter(|file| decode::is_image_name(Path::new(file))).count()
    }

    fn describe(&self) -> String {
        let has = |name: &str| self.files.iter().any(|f| f == name);
        let ends = |ends: &[&str]| {
            let fits = |f: &&String| ends.iter().any(|end| f.ends_with(end));
            self.files.iter().find(fits)
        };
        if self.is_empty() {
            return "the directory is empty".into();
        }
        if has("data_batch_1") || self.folders.iter().any(|f| f.ends_with("cifar-10-batches-py")) {
            return "this is CIFAR-10's Python version, and its binary version is read".into();
        }
        if let Some(archive) = ends(&[".zip", ".tar", ".tar.gz", ".tgz"]) {
            return format!("{archive} is to be unpacked first");
        }
        if self.has_images() {
            return "there are images, but not in one folder per class".into();
        }
        let (files, folders) = (self.files.len(), self.folders.len());
        format!(
            "no data set among {} and {} (folders of images count if the images are directly in \
             them)",
            crate::error::count(files, "file"),
            crate::error::count(folders, "folder"),
        )
    }
}

/// The paths directly in a directory, in byte order, without hidden ones.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| DataError::read(dir, e))? {
        let entry = entry.map_err(|e| DataError::read(dir, e))?;
        let name = entry.file_name();
        // macOS puts its own files into archives under the one name, Synology beside images under the other.
        if !name.as_encoded_bytes().starts_with(b".") && name != "__MACOSX" && name != "@eaDir" {
            paths.push(entry.path());
        }
    }
    paths.sort_by(|a, b| file_name_bytes(a).cmp(file_name_bytes(b)));
    Ok(paths)
}

/// The last component's bytes, by which paths in a directory are ordered.
pub(crate) fn file_name_bytes(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}
