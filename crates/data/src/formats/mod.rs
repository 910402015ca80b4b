//! The formats of data sets. Each has a file here, a `mod` line and an entry in the table.

pub(crate) mod archive;
pub(crate) mod cifar;
mod edm;
mod folder;
pub(crate) mod idx;
mod left_out;
mod made;
mod npy;
pub(crate) mod numpy;
pub(crate) mod parquet;
mod pickle;
mod shards;
mod split;
pub(crate) mod table;

use crate::format::Format;

/// Every format that is read, in the order in which a directory is held against them.
pub(crate) const FORMATS: [Format; 11] = [
    idx::FORMAT,
    cifar::binary::TEN,
    cifar::binary::HUNDRED,
    cifar::python::TEN,
    cifar::python::HUNDRED,
    numpy::FORMAT,
    table::FORMAT,
    parquet::FORMAT,
    archive::FORMAT,
    edm::FORMAT,
    folder::FORMAT,
];

/// The format of a file whose name says nothing, and whose content is an archive.
pub(crate) const ARCHIVE: Format = archive::FORMAT;
