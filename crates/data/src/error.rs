//! Errors of data sets and pictures, with messages that a person can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate. Each message names the file, the cause and the remedy.
///
/// [`DataError::Write`] is the only variant about output; all others are about the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read a file or list a directory.
    #[error("cannot read {}: {cause}", shown(path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The operating system refused to write a file.
    #[error("cannot write {}: {cause}", shown(path))]
    Write {
        /// The file as the caller named it.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A file, or a directory as a whole, is not what its name promises.
    #[error("{}: {cause}; {fix}", shown(path))]
    Malformed {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, with the expected and the actual values.
        cause: String,
        /// The remedy.
        fix: String,
    },
    /// Some files of a known data set are there, but others are absent.
    #[error(
        "{}: {set} is incomplete, missing {}; add the missing files or name another directory",
        shown(dir), names.join(" and ")
    )]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The data set that the directory resembles.
        set: String,
        /// The absent files.
        names: Vec<String>,
    },
    /// The directory holds nothing that this crate can read.
    #[error(
        "{}: {seen}; name a directory that holds one of\n  - {}",
        shown(dir), formats.join("\n  - ")
    )]
    NotRecognised {
        /// The directory.
        dir: PathBuf,
        /// What the directory holds instead.
        seen: String,
        /// What a directory of each format holds.
        formats: Vec<&'static str>,
    },
    /// Some image files cannot be read.
    #[error(
        "{}: {} cannot be used; repair, convert or remove {}:{}",
        shown(dir),
        count(listed.len() + unlisted, "image file"),
        if listed.len() + unlisted == 1 { "it" } else { "them" },
        BadFileList { listed, unlisted: *unlisted }
    )]
    BadFiles {
        /// The directory.
        dir: PathBuf,
        /// The first bad files in the order of their paths, at most 20.
        listed: Vec<BadFile>,
        /// The number of further bad files.
        unlisted: usize,
    },
    /// Two images differ in size, and no size was requested.
    #[error(
        "images differ in size: {} is {}x{} but {} is {}x{} (width x height); \
         choose one size for all with --image-size N or HxW (the image_size option)",
        shown(first), first_size.0, first_size.1,
        shown(second), second_size.0, second_size.1
    )]
    SizesDiffer {
        /// The first image in the order of the paths.
        first: PathBuf,
        /// Its width and height.
        first_size: (u32, u32),
        /// The first image with another size.
        second: PathBuf,
        /// Its width and height.
        second_size: (u32, u32),
    },
    /// Values that do not fit together were passed to a function of this crate.
    #[error("{cause}")]
    Invalid {
        /// What does not fit, with names and values.
        cause: String,
    },
}

/// An image file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl DataError {
    pub(crate) fn read(path: &Path, cause: io::Error) -> Self {
        DataError::Read { path: path.into(), cause }
    }

    pub(crate) fn write(path: &Path, cause: io::Error) -> Self {
        DataError::Write { path: path.into(), cause }
    }

    pub(crate) fn malformed(path: &Path, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        DataError::Malformed { path: path.into(), cause: cause.into(), fix: fix.into() }
    }

    pub(crate) fn invalid(cause: impl Into<String>) -> Self {
        DataError::Invalid { cause: cause.into() }
    }
}

/// `1 image file`, `2 image files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A path for a message. It escapes line ends and control characters, which would break a list or a
/// terminal.
pub(crate) fn shown(path: &Path) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    path.display().to_string().chars().map(escaped).collect()
}

struct BadFileList<'a> {
    listed: &'a [BadFile],
    unlisted: usize,
}

impl fmt::Display for BadFileList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bad in self.listed {
            write!(f, "\n  {}: {}", shown(&bad.path), bad.reason)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n  and {} more", self.unlisted)?;
        }
        Ok(())
    }
}
