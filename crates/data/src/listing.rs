//! Lists a directory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::decode;
use crate::error::{DataError, count};

/// The entries directly in a directory, without hidden ones, in byte order.
pub(crate) struct Listing {
    /// The names of files and of links to files. Names that are not UTF-8 are left out, because no format
    /// has such names.
    pub files: Vec<String>,
    /// The paths of folders and of links to folders.
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

    /// The number of files with an image's ending.
    pub(crate) fn images(&self) -> usize {
        self.files.iter().filter(|file| decode::is_image_name(Path::new(file))).count()
    }

    /// Describes the content of a directory that is not a data set.
    pub(crate) fn describe(&self) -> String {
        let ends = |ends: &[&str]| {
            let fits = |f: &&String| ends.iter().any(|end| f.ends_with(end));
            self.files.iter().find(fits)
        };
        if self.is_empty() {
            return "the directory is empty".into();
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
            count(files, "file"),
            count(folders, "folder"),
        )
    }
}

/// The paths directly in a directory, in byte order, without hidden ones.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| DataError::read(dir, e))? {
        let entry = entry.map_err(|e| DataError::read(dir, e))?;
        let name = entry.file_name();
        // macOS adds `__MACOSX` to archives, and Synology adds `@eaDir` beside images.
        if !name.as_encoded_bytes().starts_with(b".") && name != "__MACOSX" && name != "@eaDir" {
            paths.push(entry.path());
        }
    }
    paths.sort_by(|a, b| file_name_bytes(a).cmp(file_name_bytes(b)));
    Ok(paths)
}

/// The bytes of a path's last component. They order the paths in a directory.
pub(crate) fn file_name_bytes(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}
