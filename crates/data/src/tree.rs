//! Folders and files to search: those on a disk, or those that an archive lists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::encoded::Source;
use crate::error::DataError;

/// Folders and files. Their paths are for messages too: those of an archive begin with the archive's own.
pub(crate) trait Tree {
    /// The paths directly in a folder, in byte order, without [hidden](is_hidden) ones.
    fn entries(&self, dir: &Path) -> Result<Vec<PathBuf>, DataError>;

    /// Whether this is a folder, or a link to one.
    fn is_folder(&self, path: &Path) -> bool;

    /// Whether this is a file, or a link to one.
    fn is_file(&self, path: &Path) -> bool;

    fn is_link(&self, path: &Path) -> bool;

    /// Where the bytes of a file are.
    fn source(&self, path: &Path) -> Source;

    /// The bytes of a small file, `most` at most.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;
}

/// The folders and files of the machine.
pub(crate) struct Disk;

impl Tree for Disk {
    fn entries(&self, dir: &Path) -> Result<Vec<PathBuf>, DataError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(|e| DataError::read(dir, e))? {
            let entry = entry.map_err(|e| DataError::read(dir, e))?;
            if !is_hidden(entry.file_name().as_encoded_bytes()) {
                paths.push(entry.path());
            }
        }
        paths.sort_by(|a, b| name_bytes(a).cmp(name_bytes(b)));
        Ok(paths)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_link(&self, path: &Path) -> bool {
        path.is_symlink()
    }

    fn source(&self, _: &Path) -> Source {
        Source::File
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        duet_files::read(path, most)
    }
}

/// Whether files and folders of this name are left out: macOS adds `__MACOSX` to archives and `._x` beside x,
/// and Synology adds `@eaDir` beside images.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") || name == b"__MACOSX" || name == b"@eaDir"
}

/// The bytes of a path's last component. They order the paths in a folder.
pub(crate) fn name_bytes(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}
