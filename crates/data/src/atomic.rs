//! Writes a file as a whole: nobody ever sees a part of it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::error::DataError;

/// Writes `bytes` to a temporary sibling of `path` and renames it to `path`. It is not synced, because a
/// picture lost in a power failure can be made again, and many small pictures should not wait for the disk.
///
/// A link is followed, so that its target is replaced and not the link. A pipe or a terminal is written to
/// directly, because it cannot be half written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let result = match fs::metadata(&target) {
        Ok(there) if !there.is_file() && !there.is_dir() => fs::write(&target, bytes),
        _ => duet_files::write_whole_unsynced(&target, |file| file.write_all(bytes)),
    };
    result.map_err(|e| DataError::write(path, explain(e, path)))
}

/// Adds the remedy to the most common error.
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
