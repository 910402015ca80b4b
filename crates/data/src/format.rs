//! A format of data sets: how to find it in a directory, and how to read it.

use std::path::Path;

use crate::dataset::Splits;
use crate::error::DataError;
use crate::listing::Listing;
use crate::options::FolderOptions;

/// A format. The table in `formats/mod.rs` lists all of them.
pub(crate) struct Format {
    /// The content of such a directory, for people: a line in the list of [`DataError::NotRecognised`].
    pub holds: &'static str,
    /// When a directory is compared with this format.
    pub tried: Tried,
    /// The subfolders that may hold its files, besides the directory itself.
    pub subfolders: &'static [&'static str],
    /// Whether an image may have two labels, of which [`FolderOptions::label`] chooses one. Where not, a choice is
    /// refused before anything is read.
    pub may_have_two_labels: bool,
    /// Whether a person may name a file of this name instead of the directory.
    pub is_file_of_set: fn(&str) -> bool,
    /// Finds a data set of this format by the names of files and folders. `None` if there is none.
    ///
    /// An error means that a set was recognised, but something is wrong with it, such as a missing file.
    pub find: fn(&Location) -> Result<Option<Found>, DataError>,
}

/// When a directory is compared with a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// First, in the order of the table: the files of these formats have names of their own.
    ByName,
    /// After all those: any directory may have such a format.
    Otherwise,
}

/// The place of the search for a data set.
pub(crate) struct Location<'a> {
    pub dir: &'a Path,
    /// The content of the directory.
    pub listing: &'a Listing,
    /// The file that a person named instead of the directory.
    pub chosen: Option<&'a str>,
}

/// Reads a data set that was found. It gets the name of the directory and the options.
pub(crate) type Found = Box<dyn FnOnce(&str, &FolderOptions) -> Result<Splits, DataError>>;
