//! The file operations of a save, behind one trait, so that tests can make each operation fail.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The file operations of saving and pruning. Each method is one operation; power may fail after it.
pub trait Disk {
    /// Makes a folder; its parent exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file with these bytes. They need not be on disk when this returns.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Returns once a file's bytes are on disk.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Returns once the names in a folder are on disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a folder atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a folder with all that is in it. A link is removed, but not its target.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Makes a folder and the missing folders above it. Their names are on disk when this returns. Errors:
/// those of `disk`.
pub fn create_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_above(path);
    if above != path {
        create_folders(disk, above)?;
    }
    match disk.create_dir(path) {
        // Another process made the folder first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    disk.sync_dir(above)
}

/// The folder above a path, or the path itself if there is none.
pub fn folder_above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // The error for a full disk names the number of bytes to write.
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("{error}, while writing {} bytes", bytes.len()))
        };
        duet_files::create_new(path)?.write_all(bytes).map_err(told)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Windows cannot open folders for syncing; there, a rename is durable by itself.
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
