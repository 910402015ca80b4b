//! The formats of data sets. Each has a file here, a `mod` line and an entry in the table.

pub(crate) mod cifar;
mod folder;
pub(crate) mod idx;
mod left_out;
mod made;
mod npy;
pub(crate) mod numpy;
pub(crate) mod parquet;
mod pickle;
pub(crate) mod table;

use crate::format::Format;

/// Every format that is read, in the order in which a directory is held against them.
pub(crate) const FORMATS: [Format; 9] = [
    idx::FORMAT,
    cifar::binary::TEN,
    cifar::binary::HUNDRED,
    cifar::python::TEN,
    cifar::python::HUNDRED,
    numpy::FORMAT,
    table::FORMAT,
    parquet::FORMAT,
    folder::FORMAT,
];
