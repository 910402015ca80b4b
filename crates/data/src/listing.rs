//! Lists a directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::decode;
use crate::error::{DataError, count, shown};
use crate::tree::Tree;

/// The entries directly in a directory, without hidden ones, in byte order.
pub(crate) struct Listing {
    /// The names of files and of links to files. Names that are not UTF-8 are left out, because no format
    /// has such names.
    pub files: Vec<String>,
    /// The paths of folders and of links to folders.
    pub folders: Vec<PathBuf>,
}

impl Listing {
    pub(crate) fn of(tree: &dyn Tree, dir: &Path) -> Result<Self, DataError> {
        let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
        for path in tree.entries(dir)? {
            if tree.is_folder(&path) {
                listing.folders.push(path);
            } else if let Some(name) = path.file_name().and_then(OsStr::to_str)
                && tree.is_file(&path)
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

    /// The names of files that are expected to be archives.
    pub(crate) fn archives(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|name| archive::is_name(name))
    }

    /// Describes the content of a directory that is not a data set.
    pub(crate) fn describe(&self) -> String {
        if self.is_empty() {
            return "the directory is empty".into();
        }
        if let Some(archive) = self.archives().next() {
            return format!(
                "there is an archive beside other things, {}; name it itself",
                shown(Path::new(archive))
            );
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
