//! Reads the formats of [`open()`](crate::open()) from bytes in memory, for data that never was a file.
//! [`Raster::decode`](crate::Raster::decode) reads a single image.
//!
//! [`open()`](crate::open()) uses the same code. No function here panics for any bytes. None allocates more
//! than a multiple of what the bytes really hold, even if the header claims more.

use std::path::Path;
use std::sync::Arc;

use crate::classes;
use crate::dataset::Dataset;
use crate::dataset::Splits;
use crate::error::DataError;
use crate::formats::{cifar, idx, numpy, table};

/// The data set of an IDX file of images and one of labels, each gzipped or not. It has 1 channel and the
/// rows and columns of the header; label `i` has the name `classes[i]`.
///
/// Messages call the two files `images` and `labels`.
///
/// # Errors
/// Another magic number; more or fewer bytes than the header claims; no pixels; different numbers of images
/// and labels; a label that is not below `classes.len()`; empty or repeated class names.
pub fn idx(images: &[u8], labels: &[u8], classes: impl Into<Arc<[String]>>) -> Result<Dataset, DataError> {
    idx::read_bytes(images, labels, classes.into())
}

/// The data set of records in CIFAR-10's binary version: 3x32x32, with its ten class names.
///
/// # Errors
/// No bytes; a number of bytes that is not a multiple of 3073; a label above 9.
pub fn cifar10(records: &[u8]) -> Result<Dataset, DataError> {
    cifar::read_bytes(records)
}

/// The splits of a `.npz` file of at most `max_bytes` bytes of images and labels.
///
/// # Errors
/// No zip archive of arrays, an array that is no numbers or of another shape, images without labels, labels
/// that are no whole numbers.
pub fn npz(archive: &[u8], max_bytes: u64) -> Result<Splits, DataError> {
    numpy::read_bytes(archive, max_bytes)
}

/// The splits of a CSV table, a row an image, of at most `max_bytes` bytes of numbers (4 each).
///
/// # Errors
/// Rows of other lengths, cells that are no numbers, nothing that says which column is the label, images that are
/// not square.
pub fn table(csv: &[u8], max_bytes: u64) -> Result<Splits, DataError> {
    table::read_bytes(csv, max_bytes)
}

/// The class names of a `classes.txt`: UTF-8, one a line in label order, 1 MiB at most.
///
/// # Errors
/// A longer list; bytes that are not UTF-8; no name; an empty line before a name; a repeated name.
pub fn class_names(list: &[u8]) -> Result<Vec<String>, DataError> {
    classes::read_bytes(Path::new("class names"), list)
}
