//! CIFAR-10's binary version: records of one label byte and 3072 pixel bytes.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html> describes the format. The pixels are the red, the green
//! and the blue plane of 32 rows each, which is also the order of this crate.

use std::path::Path;

use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::format::{Format, Found, Tried};
use crate::{classes, fit};

/// The six batches of the published archive. The archive has them in a folder.
pub(super) const FORMAT: Format = Format {
    holds: "CIFAR-10's binary version: data_batch_1.bin to data_batch_5.bin and test_batch.bin",
    tried: Tried::ByName,
    subfolders: &["cifar-10-batches-bin"],
    is_file_of_set: |_| false,
    find: |place| {
        let dir = place.dir.to_path_buf();
        Ok(is_here(&place.listing.files).then(|| -> Found {
            Box::new(move |_, options| fit::splits(read(&dir, options.max_bytes)?, options))
        }))
    },
};

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const NAMES: &str = "batches.meta.txt";

const SHAPE: Shape = Shape { channels: 3, height: 32, width: 32 };
const RECORD: usize = 1 + 3 * 32 * 32;

/// The largest batch in bytes; the published ones have 31 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Whether one of the batches is among these file names.
fn is_here(files: &[String]) -> bool {
    files.iter().any(|name| name == TEST || TRAIN.contains(&name.as_str()))
}

/// Both splits of the batches in `dir`.
///
/// # Errors
/// A missing batch; a size that is not a multiple of 3073; a label above 9; a file of class names without
/// exactly ten names.
fn read(dir: &Path, max_bytes: u64) -> Result<Splits, DataError> {
    let missing: Vec<String> = TRAIN
        .iter()
        .chain([&TEST])
        .filter(|name| !dir.join(name).is_file())
        .map(|name| name.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(DataError::Missing {
            dir: dir.into(),
            set: "CIFAR-10's binary version".into(),
            names: missing,
        });
    }
    let classes: std::sync::Arc<[String]> = class_names(dir)?.into();
    let split = |names: &[&str]| {
        let mut labels = Vec::new();
        let mut pixels = Vec::new();
        for name in names {
            read_batch(&dir.join(name), &mut labels, &mut pixels)?;
            fit::check_bytes(dir, "CIFAR-10's batches up to this one", pixels.len() as u64, max_bytes)?;
        }
        Dataset::new(SHAPE, pixels, labels, classes.clone())
    };
    let (train, test) = (split(&TRAIN)?, split(&[TEST])?);
    Ok(Splits { name: "cifar-10".into(), train, test, left_out: Vec::new() })
}

fn class_names(dir: &Path) -> Result<Vec<String>, DataError> {
    for file in ["classes.txt", NAMES] {
        let path = dir.join(file);
        match classes::read_file(&path)? {
            Some(names) if names.len() == classes::CIFAR10.len() => return Ok(names),
            Some(names) => {
                return Err(DataError::malformed(
                    &path,
                    format!("{} class names where CIFAR-10 has 10", names.len()),
                    "write one class name a line, in label order, or remove the file",
                ));
            }
            None => {}
        }
    }
    Ok(classes::owned(&classes::CIFAR10))
}

/// The records of a batch in memory, as [`from_bytes::cifar10`](crate::from_bytes::cifar10)
/// describes.
pub(crate) fn read_bytes(records: &[u8]) -> Result<Dataset, DataError> {
    let (mut labels, mut pixels) = (Vec::new(), Vec::new());
    append_records(Path::new("records"), records, &mut labels, &mut pixels)?;
    Dataset::new(SHAPE, pixels, labels, classes::owned(&classes::CIFAR10))
}

fn read_batch(path: &Path, labels: &mut Vec<u32>, pixels: &mut Vec<u8>) -> Result<(), DataError> {
    let bytes = duet_files::read(path, MAX_BYTES).map_err(|e| DataError::read(path, e))?;
    append_records(path, &bytes, labels, pixels)
}

/// Appends the records. Messages call these bytes `path`.
fn append_records(
    path: &Path,
    bytes: &[u8],
    labels: &mut Vec<u32>,
    pixels: &mut Vec<u8>,
) -> Result<(), DataError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(DataError::malformed(
            path,
            format!("{} bytes are not a whole number of CIFAR-10's records of {RECORD} bytes", bytes.len()),
            "fetch the file again, and CIFAR-10's binary version",
        ));
    }
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        if usize::from(record[0]) >= classes::CIFAR10.len() {
            return Err(DataError::malformed(
                path,
                format!("label {} of record {i} is not one of 0 to 9", record[0]),
                "fetch the file again",
            ));
        }
        labels.push(u32::from(record[0]));
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}
