//! Regular files, read to a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::kind::{NONBLOCK, custom, regular, socket};

/// Opens a regular file for reading. It follows a link to one.
///
/// Errors: what the operating system says; a path that is a pipe, a folder, a device or a socket, which the
/// error names. Opening a pipe does not wait for its writer.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    regular(custom(options, NONBLOCK).open(path).map_err(socket))
}

/// Reads a regular file of at most `limit` bytes.
///
/// Nothing is read of a file that is longer by its own size, and at most `limit` bytes of one that grows.
///
/// Errors: those of [`open`]; a longer file (`FileTooLarge`); a Git LFS pointer, which stands in for a file
/// that was not fetched.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if file.metadata()?.len() > limit {
        return Err(too_large(limit));
    }
    let bytes = read_all(file, limit)?;
    match is_lfs_pointer(&bytes) {
        true => Err(lfs_pointer()),
        false => Ok(bytes),
    }
}

/// Whether a file that starts with these bytes is a Git LFS pointer instead of the file itself.
pub fn is_lfs_pointer(start: &[u8]) -> bool {
    start.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// The error for a Git LFS pointer: it says how to get the file.
pub fn lfs_pointer() -> io::Error {
    let reason = "a Git LFS pointer, not the file itself; get it with `git lfs pull` in its repository";
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// Reads a text file of at most `limit` bytes.
///
/// Errors: those of [`read`]; bytes that are not UTF-8 (`InvalidData`).
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let not_text = |error: std::string::FromUtf8Error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("byte {at} is not UTF-8 text"))
    };
    String::from_utf8(read(path, limit)?).map_err(not_text)
}

/// Reads a stream of at most `limit` bytes to its end.
///
/// Errors: what the stream says; a longer stream (`FileTooLarge`).
pub fn read_all(stream: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> io::Error {
    let reason = format!("it has more than the {limit} bytes that are read of such a file");
    io::Error::new(ErrorKind::FileTooLarge, reason)
}
