//! What is at a path: a regular file, or something else.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind};

#[cfg(unix)]
pub(crate) const NONBLOCK: i32 = libc::O_NONBLOCK;
#[cfg(unix)]
pub(crate) const NO_FOLLOW: i32 = libc::O_NOFOLLOW;
#[cfg(not(unix))]
pub(crate) const NONBLOCK: i32 = 0;
#[cfg(not(unix))]
pub(crate) const NO_FOLLOW: i32 = 0;

#[cfg(unix)]
pub(crate) fn custom(mut options: OpenOptions, flags: i32) -> OpenOptions {
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    options
}

#[cfg(not(unix))]
pub(crate) fn custom(options: OpenOptions, _: i32) -> OpenOptions {
    options
}

/// Passes a regular file on; for anything else, an error that says what it is.
pub(crate) fn regular(file: io::Result<File>) -> io::Result<File> {
    let file = file?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, format!("not a file but {}", what(kind))))
}

/// Gives a clear message to the error for a link that is not followed, and to those of [`socket`].
pub(crate) fn named(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        let reason = "it is a link, which is not followed for writing; put the file itself there";
        return io::Error::new(ErrorKind::InvalidInput, reason);
    }
    socket(error)
}

/// Gives a clear message to the error for a socket, or for a pipe that nobody reads.
pub(crate) fn socket(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENXIO) {
        return io::Error::new(ErrorKind::InvalidInput, "not a file but a pipe or a socket");
    }
    error
}

#[cfg(unix)]
pub(crate) fn what(kind: FileType) -> &'static str {
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
pub(crate) fn what(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "something else" }
}
