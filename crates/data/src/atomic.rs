//! Writing a file so that it is there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::DataError;

/// Writes `bytes` to a temporary sibling of `path` and renames it to `path`. It is not synced: a
/// picture lost with the power is made again, and many small pictures should not wait for the disk.
///
/// A link is followed, so that its target is replaced and not the link. Something that is neither
/// a file nor absent (a pipe, a terminal) cannot be half written: it is written to directly.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let result = match fs::metadata(&target) {
        Ok(there) if !there.is_file() && !there.is_dir() => fs::write(&target, bytes),
        _ => replace(&target, bytes),
    };
    result.map_err(|e| DataError::write(path, explain(e, path)))
}

fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_sibling(target)?;
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        // The first error is the one to tell; the leftover may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A hidden name in the same directory that no other process or thread uses. What a killed process
/// of the same number left there is overwritten.
fn temporary_sibling(target: &Path) -> io::Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    Ok(target.with_file_name(hidden))
}

/// Adds the fix to the commonest cause.
fn explain(error: io::Error, path: &Path) -> io::Error {
    match path.parent() {
        Some(parent)
            if error.kind() == io::ErrorKind::NotFound
                && !parent.as_os_str().is_empty()
                && !parent.exists() =>
        {
            io::Error::new(
                error.kind(),
                format!("there is no directory {}; create it first", parent.display()),
            )
        }
        _ => error,
    }
}
