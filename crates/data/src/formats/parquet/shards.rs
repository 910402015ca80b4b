//! The parquet files of a folder, by split. Hubs have `data/train-00000-of-00002.parquet`, or
//! `default/train/0000.parquet`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{DataError, shown};
use crate::formats::split::Split;
use crate::listing::Listing;
use crate::tree::Disk;

/// How deep files are looked for.
const DEPTH: usize = 2;
/// A directory with more folders is something else: they are not looked into.
const MOST_FOLDERS: usize = 64;

/// The files of each split, in byte order.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "read with the feature alone"))]
pub(super) struct Shards {
    pub train: Vec<PathBuf>,
    pub validation: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
    /// The name of a file that is the set; otherwise the folder's is.
    pub name: Option<String>,
}

pub(super) fn is_parquet(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".parquet")
}

impl Shards {
    /// Those of one file that a person named.
    pub(super) fn of_file(dir: &Path, name: &str) -> Self {
        let stem = name.rsplit_once('.').map(|(stem, _)| stem.to_string());
        Self { train: vec![dir.join(name)], name: stem, ..Self::default() }
    }

    /// Those directly in a folder, or in its only folder that has some. `None` where there are none.
    ///
    /// # Errors
    /// Several folders of such files, whose names are no splits'.
    pub(super) fn of_folder(dir: &Path, listing: &Listing) -> Result<Option<Self>, DataError> {
        Self::at_depth(dir, listing, DEPTH)
    }

    /// Every file, those of training first.
    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.train.iter().chain(&self.test).chain(&self.validation)
    }

    fn at_depth(dir: &Path, listing: &Listing, depth: usize) -> Result<Option<Self>, DataError> {
        let mut shards = Shards::default();
        let files: Vec<&String> = listing.files.iter().filter(|name| is_parquet(name)).collect();
        if !files.is_empty() {
            for name in files {
                shards.add(split_of(name).unwrap_or(Split::Train), dir.join(name));
            }
            return Ok(Some(shards));
        }
        if depth == 0 || listing.folders.len() > MOST_FOLDERS {
            return Ok(None);
        }
        let mut others: Vec<(&PathBuf, Shards)> = Vec::new();
        for folder in &listing.folders {
            let Some(inside) = Self::at_depth(folder, &Listing::of(&Disk, folder)?, depth - 1)? else {
                continue;
            };
            match folder.file_name().and_then(OsStr::to_str).and_then(split_of) {
                Some(split) => inside.all().cloned().for_each(|file| shards.add(split, file)),
                None => others.push((folder, inside)),
            }
        }
        let is_empty = shards.all().next().is_none();
        match (is_empty, others.len()) {
            (true, 0) => Ok(None),
            (true, 1) => Ok(others.pop().map(|(_, shards)| shards)),
            (false, 0) => Ok(Some(shards)),
            _ => {
                let names: Vec<String> = others.iter().take(8).map(|(folder, _)| shown(folder)).collect();
                Err(DataError::malformed(
                    dir,
                    format!("several folders hold parquet files, {} among them", names.join(", ")),
                    "name one of them",
                ))
            }
        }
    }

    fn add(&mut self, split: Split, file: PathBuf) {
        match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
            Split::Test => &mut self.test,
        }
        .push(file);
    }
}

/// The split whose name is a word of this one: `train-00000-of-00002.parquet`, `fashion_mnist-test.parquet`.
fn split_of(name: &str) -> Option<Split> {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words.find_map(|word| match word {
        "dev" => Some(Split::Validation),
        word => Split::of_word(word),
    })
}
