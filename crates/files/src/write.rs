//! Files opened for writing, where no link is followed.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::kind::{NO_FOLLOW, NONBLOCK, custom, named, regular};

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
