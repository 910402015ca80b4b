//! Labelled images in parquet, as hubs have them: a column of encoded images and one of labels.
//!
//! <https://github.com/apache/parquet-format> describes the files. Reading them takes a large crate, so it stands
//! behind the feature `parquet`; files are recognised without it.

#[cfg(feature = "parquet")]
mod codec;
#[cfg(feature = "parquet")]
mod columns;
#[cfg(feature = "parquet")]
mod header;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod rows;
#[cfg(feature = "parquet")]
mod set;
mod shards;

use crate::format::{Format, Found, Tried};
use shards::Shards;

#[cfg(feature = "parquet")]
pub(crate) use set::read_bytes;

/// One file, or those of a folder.
pub(super) const FORMAT: Format = Format {
    holds: "parquet, x.parquet or data/*.parquet: a column of encoded images (binary, or struct of bytes and path) and \
            one called label; files or folders called test or validation beside train, or about every tenth image of \
            a class is held out",
    tried: Tried::Otherwise,
    subfolders: &["data"],
    may_have_two_labels: true,
    is_file_of_set: shards::is_parquet,
    find: |place| {
        let shards = match place.chosen {
            Some(chosen) => shards::is_parquet(chosen).then(|| Shards::of_file(place.dir, chosen)),
            None => Shards::of_folder(place.dir, place.listing)?,
        };
        let dir = place.dir.to_path_buf();
        Ok(shards.map(|shards| -> Found { Box::new(move |name, options| read(&dir, name, shards, options)) }))
    },
};

#[cfg(feature = "parquet")]
use set::read;

/// Says how to get a program that reads these.
#[cfg(not(feature = "parquet"))]
fn read(
    _: &std::path::Path,
    _: &str,
    shards: Shards,
    _: &crate::options::FolderOptions,
) -> Result<crate::dataset::Splits, crate::error::DataError> {
    let first = shards.all().next().cloned().unwrap_or_default();
    Err(crate::error::DataError::malformed(
        &first,
        "this program was built without the reader of parquet",
        "build it with the feature: `cargo xtask-parquet data PATH` in the repository, \
         `cargo install --path crates/cli --features parquet` for any folder",
    ))
}
