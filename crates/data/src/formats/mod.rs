//! The formats of data sets, a file each.

pub(crate) mod cifar;
pub(crate) mod folder;
pub(crate) mod idx;
mod left_out;
mod made;
