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
use crate::formats::{archive, cifar, idx, numpy, table};
use crate::label::LabelKind;
use crate::options::FolderOptions;

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
    cifar::binary::read_ten(records)
}

/// The data set of records in CIFAR-100's binary version: 3x32x32, with the names of its 100 fine or 20 coarse
/// classes.
///
/// # Errors
/// No bytes; a number of bytes that is not a multiple of 3074; a label above 99, or a coarse one above 19.
pub fn cifar100(records: &[u8], label: LabelKind) -> Result<Dataset, DataError> {
    cifar::binary::read_hundred(records, label)
}

/// The data set of a batch in CIFAR-10's Python version, a pickle: 3x32x32, with its ten class names. Nothing
/// of it is executed.
///
/// # Errors
/// A pickle that is cut, that calls anything but NumPy's own makers of arrays, or that holds something else than a
/// dictionary of `data`, bytes of shape (n, 3072), and `labels`, n numbers of 0 to 9.
pub fn cifar10_pickle(batch: &[u8]) -> Result<Dataset, DataError> {
    cifar::python::read_ten(batch)
}

/// The data set of a file in CIFAR-100's Python version, as [`cifar10_pickle`]: its labels are `fine_labels` and
/// `coarse_labels`.
///
/// # Errors
/// As [`cifar10_pickle`].
pub fn cifar100_pickle(file: &[u8], label: LabelKind) -> Result<Dataset, DataError> {
    cifar::python::read_hundred(file, label)
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

/// The splits of a parquet file: a column of encoded images and one of labels.
///
/// # Errors
/// A file that is cut or damaged; no column, or several, of images or labels; a null among them; more bytes than the
/// options allow; an image that cannot be read.
#[cfg(feature = "parquet")]
pub fn parquet(file: &[u8], options: &FolderOptions) -> Result<Splits, DataError> {
    crate::formats::parquet::read_bytes(file, options)
}

/// The splits of a zip or tar archive, gzipped or not, of images as [`open()`](crate::open()) reads one.
///
/// # Errors
/// No whole archive; names that leave it or are there twice; encrypted members; claims of too many bytes; images
/// that are neither in folders of classes nor have labels; images that cannot be used.
pub fn archive(bytes: &[u8], options: &FolderOptions) -> Result<Splits, DataError> {
    archive::read_bytes(bytes, options)
}

/// The class names of a `classes.txt`: UTF-8, one a line in label order, 1 MiB at most.
///
/// # Errors
/// A longer list; bytes that are not UTF-8; no name; an empty line before a name; a repeated name.
pub fn class_names(list: &[u8]) -> Result<Vec<String>, DataError> {
    classes::read_bytes(Path::new("class names"), list)
}
