//! Opens files for writing without following links.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::kind::{NO_FOLLOW, NONBLOCK, custom, named, regular};

/// Opens a file for writing: makes an empty one, or empties the regular file that is there.
///
/// Errors: what the operating system says; a link, a pipe, a folder, a device or a socket at `path`.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    let file = regular(custom(options, NONBLOCK | NO_FOLLOW).open(path).map_err(named))?;
    file.set_len(0)?;
    Ok(file)
}

/// Makes a new file for reading and writing.
///
/// Errors: what the operating system says; anything at `path`, a link included (`AlreadyExists`).
pub fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    custom(options, NO_FOLLOW).open(path).map_err(named)
}

/// Opens a regular file for reading and for writing at its end; makes it if it is absent.
///
/// Errors: what the operating system says; a link, a pipe, a folder, a device or a socket at `path`.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    regular(custom(options, NONBLOCK | NO_FOLLOW).open(path).map_err(named))
}
