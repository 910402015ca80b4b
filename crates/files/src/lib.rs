//! Files that nobody vouches for.
//!
//! A folder from somebody else may hold a pipe, a device or a link where a file is expected. Every
//! reader of Duet opens files with [`open`] and reads them with [`read`], so that none of these
//! hangs it or fills its memory: only regular files are read, and at most as many bytes as the
//! caller names, whatever the file's metadata say. What is written into such a folder goes through
//! [`create`], [`create_new`] and [`append`], which follow no link at the last place of the path.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("config.json");
//! std::fs::write(&path, "{}")?;
//! assert_eq!(duet_files::read(&path, 1024)?, b"{}");
//! assert!(duet_files::read(&path, 1).is_err());
//! # Ok(()) }
//! ```

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

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
/// The limit holds for what is read, not for the size that the file claims. A longer file is an
/// error of kind `FileTooLarge`, and no more than `limit` bytes of it are kept.
///
/// A Git LFS pointer, which stands where the file itself was not fetched, is an error that says so.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let bytes = read_all(open(path)?, limit)?;
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
        let reason = format!("it has more than the {limit} bytes that are read of such a file");
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Makes an empty file, or empties a regular one, for writing. A link is an error.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    let file = regular(custom(options, NONBLOCK | NO_FOLLOW).open(path).map_err(named))?;
    file.set_len(0)?;
    Ok(file)
}

/// Makes a file that was not there, for reading and writing.
pub fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    custom(options, NO_FOLLOW).open(path).map_err(named)
}

/// Opens a regular file for reading, and for writing at its end; makes it where it is absent. A
/// link is an error.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    regular(custom(options, NONBLOCK | NO_FOLLOW).open(path).map_err(named))
}

#[cfg(unix)]
const NONBLOCK: i32 = libc::O_NONBLOCK;
#[cfg(unix)]
const NO_FOLLOW: i32 = libc::O_NOFOLLOW;
#[cfg(not(unix))]
const NONBLOCK: i32 = 0;
#[cfg(not(unix))]
const NO_FOLLOW: i32 = 0;

#[cfg(unix)]
fn custom(mut options: OpenOptions, flags: i32) -> OpenOptions {
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    options
}

#[cfg(not(unix))]
fn custom(options: OpenOptions, _: i32) -> OpenOptions {
    options
}

fn regular(file: io::Result<File>) -> io::Result<File> {
    let file = file?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, format!("not a file but {}", what(kind))))
}

/// A link where none is followed has a message of its own.
fn named(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        let reason = "it is a link, which is not followed for writing; put the file itself there";
        return io::Error::new(ErrorKind::InvalidInput, reason);
    }
    socket(error)
}

/// So has a socket, and a pipe that nobody reads.
fn socket(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENXIO) {
        return io::Error::new(ErrorKind::InvalidInput, "not a file but a pipe or a socket");
    }
    error
}

#[cfg(unix)]
fn what(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn what(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "something else" }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
