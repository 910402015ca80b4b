//! The file work of a save, behind one trait, so that tests can let each operation fail.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// What saving and pruning do to a disk. Each is one operation, after which power may fail.
pub trait Disk {
    /// Makes a folder; its parent exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file with these bytes, which need not be on disk yet.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Returns once a file's bytes are on disk.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Returns once the names in a folder are on disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a folder another name, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it, or a file. Of a link, what it names stays.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Makes a folder, and those above it that are missing. Each name is on disk when this returns.
pub fn create_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_above(path);
    if above != path {
        create_folders(disk, above)?;
    }
    match disk.create_dir(path) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    disk.sync_dir(above)
}

/// The folder that a path is in, and the path itself where there is none above.
pub fn folder_above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// The machine's own.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // A full disk is told about with what there was to write.
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("{error}, while writing {} bytes", bytes.len()))
        };
        duet_files::create_new(path)?.write_all(bytes).map_err(told)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Folders cannot be opened for this on Windows, where a rename is durable by itself.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path)?.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        }
    }
}
