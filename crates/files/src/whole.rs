//! Writes a file as a whole: nobody ever sees a part of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kind::what;
use crate::write::create_new;

/// How many names are tried for the temporary file: killed processes may have left files behind.
const MOST_LEFTOVERS: usize = 1000;

/// Writes a file. At any moment `path` holds either the whole new file or what was there before.
///
/// `write` fills a new sibling, `.NAME.PID-COUNT.tmp`, with the permissions of any new file. The sibling is
/// synced and renamed to `path`. A link at `path` is replaced and not followed. A file that already has the
/// sibling's name is left alone.
///
/// # Errors
/// What `write` or the operating system says; a path that names no file; a pipe, a folder, a device or a
/// socket at `path`. After an error the sibling is removed, and `path` is as it was.
///
/// ```
/// # use std::io::Write;
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("weights");
/// duet_files::write_whole(&path, |file| file.write_all(b"all of it"))?;
/// assert_eq!(duet_files::read(&path, 100)?, b"all of it");
/// # Ok(()) }
/// ```
pub fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    write_whole_unsynced(path, |file| write(file).and_then(|()| file.sync_all()))
}

/// As [`write_whole`], but without waiting for the disk. It is for files that can be made again after a
/// power failure.
///
/// # Errors
/// As [`write_whole`].
pub fn write_whole_unsynced(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if let Ok(there) = fs::symlink_metadata(path) {
        let kind = there.file_type();
        if !kind.is_file() && !kind.is_symlink() {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("not a file but {}", what(kind))));
        }
    }
    let (mut file, sibling) = temporary_sibling(path)?;
    let written = write(&mut file).and_then(|()| fs::rename(&sibling, path));
    if written.is_err() {
        // The caller gets the first error; one of removing is dropped.
        let _ = fs::remove_file(&sibling);
    }
    written
}

/// Whether a file's name is one that [`write_whole`] gives to a file that is not whole. A process that was killed
/// leaves such files behind.
pub fn is_temporary(name: &str) -> bool {
    let hidden = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    hidden
        .and_then(|name| name.rsplit_once('.')?.1.split_once('-'))
        .is_some_and(|(process, count)| is_number(process) && is_number(count))
}

/// A new file with a hidden name in the same folder. No other process or thread writes it.
fn temporary_sibling(path: &Path) -> io::Result<(File, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let no_name = || io::Error::new(ErrorKind::InvalidInput, "the path names no file");
    let name = path.file_name().ok_or_else(no_name)?;
    let mut taken = ErrorKind::AlreadyExists.into();
    for _ in 0..MOST_LEFTOVERS {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let sibling = path.with_file_name(hidden);
        match create_new(&sibling) {
            Ok(file) => return Ok((file, sibling)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
