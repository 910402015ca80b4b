//! The formats of data sets: a file, its `mod` line and its entry in the table for each.

pub(crate) mod cifar;
mod folder;
pub(crate) mod idx;
mod left_out;
mod made;

use crate::format::Format;

/// Every format that is read, in the order in which a directory is held against them.
pub(crate) const FORMATS: [Format; 3] = [idx::FORMAT, cifar::FORMAT, folder::FORMAT];
