//! Regular files, read to a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::kind::{NONBLOCK, custom, regular, socket};

/// Opens a regular file for reading. A link to one is followed.
///
/// An error names what else the path is: a pipe, a folder, a device or a socket. Opening a pipe
/// does not wait for its writer.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    regular(custom(options, NONBLOCK).open(path).map_err(socket))
}

/// Reads a regular file of at most `limit` bytes.
///
/// A longer file is an error of kind `FileTooLarge`: nothing is read of one that says so itself, and
/// of one that grows meanwhile no more than `limit` bytes are kept.
///
/// A Git LFS pointer, which stands where the file itself was not fetched, is an error that says so.
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

/// Whether a file that begins so is a pointer of Git LFS to the file that belongs there.
pub fn is_lfs_pointer(start: &[u8]) -> bool {
    start.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// What is said of such a file.
pub fn lfs_pointer() -> io::Error {
    let reason = "a Git LFS pointer, not the file itself; get it with `git lfs pull` in its repository";
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// As [`read`], of text. Bytes that are not UTF-8 are an error of kind `InvalidData`.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let not_text = |error: std::string::FromUtf8Error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("byte {at} is not UTF-8 text"))
    };
    String::from_utf8(read(path, limit)?).map_err(not_text)
}

/// Reads a stream to its end, which comes within `limit` bytes, or an error of kind `FileTooLarge`.
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
