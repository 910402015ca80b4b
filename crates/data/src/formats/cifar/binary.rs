//! CIFAR's binary versions: records of one label byte (CIFAR-100: two) and 3072 pixel bytes.

use std::path::Path;

use super::set::{Images, PIXELS, Set, Version};
use crate::classes;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::format::{Format, Found, Tried};
use crate::label::LabelKind;

/// The six batches of the published archive. The archive has them in a folder.
pub(in crate::formats) const TEN: Format = Format {
    holds: "CIFAR-10's binary version: data_batch_1.bin to data_batch_5.bin and test_batch.bin",
    tried: Tried::ByName,
    subfolders: &["cifar-10-batches-bin"],
    may_have_two_labels: false,
    is_file_of_set: |_| false,
    find: |place| {
        let dir = place.dir.to_path_buf();
        let is_batch = |name: &String| name == TEST || TRAIN.contains(&name.as_str());
        Ok(place.listing.files.iter().any(is_batch).then(|| -> Found {
            Box::new(move |_, options| VERSION.read(&dir, Set::Ten, (&TRAIN, TEST), options))
        }))
    },
};

/// The two files of the published archive.
pub(in crate::formats) const HUNDRED: Format = Format {
    holds: "CIFAR-100's binary version: train.bin and test.bin",
    tried: Tried::ByName,
    subfolders: &["cifar-100-binary"],
    may_have_two_labels: true,
    is_file_of_set: |_| false,
    find: |place| {
        let dir = place.dir.to_path_buf();
        let has = |name: &str| place.listing.files.iter().any(|file| file == name);
        // Other sets have files of these names too, alone or in folders of classes.
        let both = has("train.bin") && has("test.bin") && place.listing.folders.is_empty();
        let one = has("train.bin") || has("test.bin");
        let named = has(names_file(Set::hundred(None))) && one;
        Ok((both || named).then(|| -> Found {
            Box::new(move |_, options| {
                VERSION.read(&dir, Set::hundred(options.label), (&["train.bin"], "test.bin"), options)
            })
        }))
    },
};

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";

/// The file of class names in the published archive.
fn names_file(set: Set) -> &'static str {
    match set {
        Set::Ten => "batches.meta.txt",
        Set::Hundred(LabelKind::Fine) => "fine_label_names.txt",
        Set::Hundred(LabelKind::Coarse) => "coarse_label_names.txt",
    }
}

/// Where the label is among the bytes before the pixels, and how many these are.
fn label_bytes(set: Set) -> (usize, usize) {
    match set {
        Set::Ten => (0, 1),
        Set::Hundred(LabelKind::Coarse) => (0, 2),
        Set::Hundred(LabelKind::Fine) => (1, 2),
    }
}

/// Errors: a size that is no whole number of records; a label that is not one of the set's; a file of class names
/// with more or fewer names.
const VERSION: Version = Version { name: "binary", class_names, append: append_records };

fn class_names(dir: &Path, set: Set) -> Result<Vec<String>, DataError> {
    for file in ["classes.txt", names_file(set)] {
        let path = dir.join(file);
        if let Some(names) = classes::read_file(&path)? {
            return set.checked(&path, names);
        }
    }
    Ok(classes::owned(set.class_names()))
}

/// The records of CIFAR-10 in memory, as [`from_bytes::cifar10`](crate::from_bytes::cifar10) describes.
pub(crate) fn read_ten(records: &[u8]) -> Result<Dataset, DataError> {
    read_bytes(Set::Ten, records)
}

/// The records of CIFAR-100 in memory.
pub(crate) fn read_hundred(records: &[u8], label: LabelKind) -> Result<Dataset, DataError> {
    read_bytes(Set::Hundred(label), records)
}

fn read_bytes(set: Set, records: &[u8]) -> Result<Dataset, DataError> {
    let mut images = Images::default();
    append_records(set, Path::new("records"), records, &mut images)?;
    images.dataset(&classes::owned(set.class_names()).into())
}

/// Appends the records. Messages call these bytes `path`.
fn append_records(set: Set, path: &Path, bytes: &[u8], images: &mut Images) -> Result<(), DataError> {
    let (label_at, labels) = label_bytes(set);
    let record = labels + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let (length, set) = (bytes.len(), set.name());
        return Err(DataError::malformed(
            path,
            format!("{length} bytes are not a whole number of {set}'s records of {record} bytes"),
            format!("fetch the file again, and {set}'s binary version"),
        ));
    }
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (labels, pixels) = record.split_at(labels);
        let label = set.check_label(path, labels[label_at].into(), &format!("record {i}"))?;
        images.labels.push(label);
        images.pixels.extend_from_slice(pixels);
    }
    Ok(())
}
