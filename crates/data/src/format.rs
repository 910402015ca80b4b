//! What a format of data sets is: how it is found in a directory, and how it is read.

use std::path::Path;

use crate::dataset::Splits;
use crate::error::DataError;
use crate::listing::Listing;
use crate::options::FolderOptions;

/// A format, as the table in `formats/mod.rs` lists it.
pub(crate) struct Format {
    /// What a directory of it holds, for people: a line of the list that [`DataError::NotRecognised`]
    /// gives.
    pub holds: &'static str,
    /// When a directory is held against it.
    pub tried: Tried,
    /// Where its files may lie below the directory, besides in the directory itself.
    pub subfolders: &'static [&'static str],
    /// Whether a person may name a file of this name instead of the directory.
    pub is_file_of_set: fn(&str) -> bool,
    /// The data set in a place, found by the names of what is there. `None` if it is none of this format.
    ///
    /// An error is what is wrong with a set that is recognised, such as a file that is missing.
    pub find: fn(&Location) -> Result<Option<Found>, DataError>,
}

/// When a directory is held against a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// In the order of the table: its files have names of their own.
    ByName,
    /// After all those: any directory may be one.
    Otherwise,
}

/// Where a data set is looked for.
pub(crate) struct Location<'a> {
    pub dir: &'a Path,
    /// What is in the directory.
    pub listing: &'a Listing,
    /// The file that a person named instead of the directory.
    pub chosen: Option<&'a str>,
}

/// Reads a set that was found: the name that a person knows its directory by, and what is wanted of it.
pub(crate) type Found = Box<dyn FnOnce(&str, &FolderOptions) -> Result<Splits, DataError>>;
