//! The formats of data sets. Each has a file here, a `mod` line and an entry in the table.

pub(crate) mod cifar;
mod folder;
pub(crate) mod idx;
mod left_out;
mod made;

use crate::format::Format;

/// All formats, in the order in which a directory is compared with them.
pub(crate) const FORMATS: [Format; 3] = [idx::FORMAT, cifar::FORMAT, folder::FORMAT];
