//! The rows of all files as a data set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::reader::ChunkReader;

use super::columns::Columns;
use super::rows::{self, Labels, Rows, TOO_MANY};
use super::shards::Shards;
use crate::classes;
use crate::dataset::{Splits, check_names};
use crate::encoded::{EncodedImage, EncodedSet, Source};
use crate::error::DataError;
use crate::labelled::{self, MAX_CLASSES};
use crate::options::FolderOptions;
use crate::tree::Disk;

/// The remedy for a file that is something else.
const FIX: &str = "fetch the file again, or write a column of encoded images (binary, or a struct of bytes and path) and \
                   a column label of whole numbers or texts";
/// The remedy for too many images.
const FEWER: &str =
    "use fewer or smaller images, or raise the limit with --max-gigabytes N (the max_bytes option)";
/// The label of an image that nobody has labelled.
const UNLABELLED: i64 = -1;

/// A file and its rows.
struct Part {
    path: PathBuf,
    rows: Rows,
}

impl Part {
    fn read(
        path: &Path,
        file: impl ChunkReader + 'static,
        options: &FolderOptions,
        left: &mut u64,
    ) -> Result<Self, DataError> {
        let rows = rows::read(file, options.label, left).map_err(|cause| {
            let fix = if cause == TOO_MANY { FEWER } else { FIX };
            DataError::malformed(path, cause, fix)
        })?;
        if rows.columns.kind.is_none() {
            options.check_no_label(path)?;
        }
        Ok(Part { path: path.into(), rows })
    }

    fn refuse(&self, cause: impl Into<String>) -> DataError {
        DataError::malformed(&self.path, cause, FIX)
    }

    fn is_unlabelled(&self) -> bool {
        match &self.rows.labels {
            Labels::Numbers(labels) => labels.iter().all(|&label| label == UNLABELLED),
            Labels::Texts(_) => false,
        }
    }
}

/// All splits of the files.
///
/// # Errors
/// A file that is cut or damaged; no column, or several, of images or labels; a null among them; labels that are
/// not among the file's own names; files whose columns differ; an image that cannot be read.
pub(super) fn read(
    dir: &Path,
    name: &str,
    shards: Shards,
    options: &FolderOptions,
) -> Result<Splits, DataError> {
    let mut left = options.max_bytes;
    let mut parts = |paths: &[PathBuf]| -> Result<Vec<Part>, DataError> {
        let part = |path: &PathBuf| {
            let file = duet_files::open(path).map_err(|error| DataError::read(path, error))?;
            Part::read(path, file, options, &mut left)
        };
        paths.iter().map(part).collect()
    };
    let (train, mut held_out) = (parts(&shards.train)?, parts(&shards.test)?);
    let mut notes = Vec::new();
    if held_out.iter().all(Part::is_unlabelled) {
        if !held_out.is_empty() {
            notes.push(format!("the images to test with are left out: all of their labels are {UNLABELLED}"));
        }
        held_out = parts(&shards.validation)?;
    } else if !shards.validation.is_empty() {
        notes.push("the images to validate with are left out: there are others to test with".into());
    }
    splits(dir, shards.name.as_deref().unwrap_or(name), [train, held_out], notes, options)
}

/// As [`read`], of one file in memory.
pub(crate) fn read_bytes(bytes: &[u8], options: &FolderOptions) -> Result<Splits, DataError> {
    let (path, mut left) = (Path::new("images.parquet"), options.max_bytes);
    let part = Part::read(path, Bytes::copy_from_slice(bytes), options, &mut left)?;
    splits(Path::new("images"), "images", [vec![part], Vec::new()], Vec::new(), options)
}

fn splits(
    dir: &Path,
    name: &str,
    [train, held_out]: [Vec<Part>; 2],
    mut notes: Vec<String>,
    options: &FolderOptions,
) -> Result<Splits, DataError> {
    let Some(first) = train.first() else {
        return Err(DataError::malformed(
            dir,
            "no file is there to train on",
            "add train.parquet, or name one file",
        ));
    };
    let columns = first.rows.columns.clone();
    let all = || train.iter().chain(&held_out);
    if let Some(other) = all().find(|other| !columns.are_those_of(&other.rows.columns)) {
        return Err(other.refuse(format!("its columns or classes are not those of {}", first.path.display())));
    }
    let classes = class_names(dir, name, &columns, all())?;
    notes.extend(columns.notes(options.label));
    let images =
        |parts: Vec<Part>| parts.into_iter().flat_map(|part| encoded(part, &classes)).collect::<Vec<_>>();
    let (train, test) = (images(train), images(held_out));
    let set = match test.is_empty() {
        true => EncodedSet::hold_out(dir, classes, train),
        false => EncodedSet { place: dir.into(), classes, train, test, left_out: Vec::new() },
    };
    EncodedSet { left_out: notes, ..set }.read(name, options)
}

/// The names of the labels: those of `classes.txt`, the files' own, or known ones; of texts, these in their order.
fn class_names<'a>(
    dir: &Path,
    name: &str,
    columns: &Columns,
    parts: impl Iterator<Item = &'a Part>,
) -> Result<Vec<String>, DataError> {
    let (mut highest, mut texts) = (0, BTreeSet::new());
    let own = columns.classes.as_deref();
    for part in parts {
        match &part.rows.labels {
            Labels::Texts(labels) => texts.extend(labels),
            Labels::Numbers(labels) => {
                let most = own.map_or(MAX_CLASSES, <[String]>::len) as i64;
                if let Some(row) = labels.iter().position(|label| !(0..most).contains(label)) {
                    let (label, last) = (labels[row], most - 1);
                    return Err(part.refuse(format!("label {label} of row {row} is not one of 0 to {last}")));
                }
                highest = labels.iter().copied().max().unwrap_or(0).max(highest);
            }
        }
        if texts.len() > MAX_CLASSES {
            return Err(part.refuse(format!("more than {MAX_CLASSES} different labels")));
        }
    }
    if !texts.is_empty() {
        return Ok(texts.into_iter().cloned().collect());
    }
    let list = classes::list_in(&Disk, dir)?;
    match own.filter(|_| list.1.is_none()) {
        Some(own) => {
            let refuse = |cause| DataError::malformed(dir, cause, FIX);
            check_names(own).map_err(refuse).map(|()| own.to_vec())
        }
        None => labelled::numbered_classes(list, name, highest as usize + 1),
    }
}

/// The images of a file with their labels, called by their rows.
fn encoded(part: Part, classes: &[String]) -> Vec<EncodedImage> {
    let label = |row: usize| match &part.rows.labels {
        Labels::Numbers(labels) => labels[row] as u32,
        Labels::Texts(labels) => classes.binary_search(&labels[row]).unwrap_or(0) as u32,
    };
    let labels: Vec<u32> = (0..part.rows.images.len()).map(label).collect();
    let image = |(row, (bytes, label)): (usize, (Vec<u8>, u32))| EncodedImage {
        path: part.path.join(format!("row {row}")),
        label,
        source: Source::Memory(bytes),
    };
    part.rows.images.into_iter().zip(labels).enumerate().map(image).collect()
}
