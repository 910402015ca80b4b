//! CIFAR's Python versions: pickles of a dictionary whose `data` are an array of bytes, a row an image.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::set::{Images, MAX_BYTES, PIXELS, Set, Version};
use crate::classes;
use crate::dataset::{Dataset, check_names};
use crate::error::DataError;
use crate::format::{Format, Found, Location, Tried};
use crate::formats::npy::Values;
use crate::formats::pickle::{self, Pickle, Value};
use crate::label::LabelKind;

/// The six batches of the published archive. The archive has them in a folder.
pub(in crate::formats) const TEN: Format = Format {
    holds: "CIFAR-10's Python version: data_batch_1 to data_batch_5 and test_batch",
    tried: Tried::ByName,
    subfolders: &["cifar-10-batches-py"],
    may_have_two_labels: false,
    is_file_of_set: |_| false,
    find: |place| {
        let dir = place.dir.to_path_buf();
        let is_here = TRAIN.iter().chain([&TEST]).any(|name| is_pickle(place, name));
        Ok(is_here.then(|| -> Found {
            Box::new(move |_, options| VERSION.read(&dir, Set::Ten, (&TRAIN, TEST), options))
        }))
    },
};

/// The two files of the published archive.
pub(in crate::formats) const HUNDRED: Format = Format {
    holds: "CIFAR-100's Python version: train and test, beside meta",
    tried: Tried::ByName,
    subfolders: &["cifar-100-python"],
    may_have_two_labels: true,
    is_file_of_set: |_| false,
    find: |place| {
        let dir = place.dir.to_path_buf();
        let is_here = ["train", "test"].iter().any(|name| is_pickle(place, name));
        Ok(is_here.then(|| -> Found {
            Box::new(move |_, options| {
                VERSION.read(&dir, Set::hundred(options.label), (&["train"], "test"), options)
            })
        }))
    },
};

const TRAIN: [&str; 5] = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
const TEST: &str = "test_batch";

/// The remedy for a file that is something else.
const FIX: &str = "fetch the Python version again, or save a dictionary of data, an array of bytes of shape (n, 3072), \
                   and of labels, a list of whole numbers";

/// Whether a file of this name is there and begins as a pickle of protocol 2 or newer.
fn is_pickle(place: &Location, name: &str) -> bool {
    let mut first = [0];
    let is_there = place.listing.files.iter().any(|file| file == name);
    let open = || -> std::io::Result<File> { duet_files::open(&place.dir.join(name)) };
    is_there && open().and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == [0x80]
}

/// What the dictionary of images calls the labels.
fn labels_key(set: Set) -> &'static str {
    match set {
        Set::Ten => "labels",
        Set::Hundred(LabelKind::Fine) => "fine_labels",
        Set::Hundred(LabelKind::Coarse) => "coarse_labels",
    }
}

/// The file of class names, and what its dictionary calls them.
fn names_file(set: Set) -> (&'static str, &'static str) {
    match set {
        Set::Ten => ("batches.meta", "label_names"),
        Set::Hundred(LabelKind::Fine) => ("meta", "fine_label_names"),
        Set::Hundred(LabelKind::Coarse) => ("meta", "coarse_label_names"),
    }
}

/// Errors: a pickle that [`pickle::load`] refuses; no array of bytes of shape (n, 3072); other than n labels; a label
/// that is not one of the set's; a list of class names with more or fewer names.
const VERSION: Version = Version { name: "Python", class_names, append };

/// Those of `classes.txt`, of the pickle of names, or the published ones.
fn class_names(dir: &Path, set: Set) -> Result<Vec<String>, DataError> {
    let list = dir.join("classes.txt");
    if let Some(names) = classes::read_file(&list)? {
        return set.checked(&list, names);
    }
    let (file, key) = names_file(set);
    let path = dir.join(file);
    if !path.is_file() {
        return Ok(classes::owned(set.class_names()));
    }
    let bytes = duet_files::read(&path, MAX_BYTES).map_err(|e| DataError::read(&path, e))?;
    let refuse = |cause: String| DataError::malformed(&path, cause, "fetch the file again, or remove it");
    let pickle = pickle::load(&bytes).map_err(refuse)?;
    let list = pickle.get(key).and_then(|list| pickle.items(list));
    let list = list.ok_or_else(|| refuse(format!("it has no list {key} of class names")))?;
    // A name is looked at only where there are not too many.
    let names: Option<Vec<String>> =
        list.take(set.class_names().len() + 1).map(|name| name.text().map(String::from)).collect();
    let names = names.ok_or_else(|| refuse(format!("{key} has a name that is no short text")))?;
    check_names(&names).map_err(refuse)?;
    set.checked(&path, names)
}

/// A batch of CIFAR-10 in memory, as [`from_bytes::cifar10_pickle`](crate::from_bytes::cifar10_pickle) describes.
pub(crate) fn read_ten(batch: &[u8]) -> Result<Dataset, DataError> {
    read_bytes(Set::Ten, batch)
}

/// A file of CIFAR-100 in memory.
pub(crate) fn read_hundred(file: &[u8], label: LabelKind) -> Result<Dataset, DataError> {
    read_bytes(Set::Hundred(label), file)
}

fn read_bytes(set: Set, bytes: &[u8]) -> Result<Dataset, DataError> {
    let mut images = Images::default();
    append(set, Path::new("pickle"), bytes, &mut images)?;
    images.dataset(&classes::owned(set.class_names()).into())
}

/// Appends the images of a pickle. Messages call it `path`.
fn append(set: Set, path: &Path, bytes: &[u8], images: &mut Images) -> Result<(), DataError> {
    let refuse = |cause: String| DataError::malformed(path, cause, FIX);
    let pickle =
        pickle::load(bytes).map_err(|cause| refuse(format!("this pickle cannot be used: {cause}")))?;
    let get = |key: &str| pickle.get(key).ok_or_else(|| refuse(without(key, &pickle)));
    let data = pickle.array(get("data")?).map_err(|cause| refuse(format!("data: {cause}")))?;
    let (count, pixels) = match (&data.shape[..], data.values) {
        (&[count, PIXELS] | &[count, 3, 32, 32], Values::Bytes(pixels)) => (count, pixels),
        (shape, Values::Bytes(_)) => {
            return Err(refuse(format!("data of shape {shape:?}, and images are (n, {PIXELS})")));
        }
        _ => return Err(refuse("data are no bytes".into())),
    };
    let key = labels_key(set);
    let labels = labels(&pickle, get(key)?).map_err(|cause| refuse(format!("{key}: {cause}")))?;
    if labels.len() != count {
        return Err(refuse(format!("{count} images and {} {key}", labels.len())));
    }
    for (i, label) in labels.into_iter().enumerate() {
        images.labels.push(set.check_label(path, label, &format!("image {i}"))?);
    }
    images.pixels.extend(pixels);
    Ok(())
}

/// Says that a dictionary lacks a key, and which it has.
fn without(key: &str, pickle: &Pickle) -> String {
    let Some(keys) = pickle.keys() else { return "it is no dictionary".into() };
    let shown = |key: &Value| key.text().map_or(key.kind().into(), |key| key.escape_default().to_string());
    let shown: Vec<String> = keys.take(10).map(shown).collect();
    match shown.is_empty() {
        true => format!("its dictionary has no {key}: it is empty"),
        false => format!("its dictionary has no {key}, but {}", shown.join(", ")),
    }
}

/// Whole numbers, as a list or an array of one axis.
fn labels(pickle: &Pickle, value: &Value) -> Result<Vec<i64>, String> {
    if let Some(items) = pickle.items(value) {
        let number = |(i, item): (usize, &Value)| match item {
            Value::Integer(label) => Ok(*label),
            other => Err(format!("label {i} is {}, not a whole number", other.kind())),
        };
        return items.enumerate().map(number).collect();
    }
    let array = pickle.array(value)?;
    match (&array.shape[..], array.values) {
        ([_] | [_, 1], Values::Integers(labels)) => Ok(labels),
        ([_] | [_, 1], Values::Bytes(labels)) => Ok(labels.into_iter().map(i64::from).collect()),
        ([_] | [_, 1], Values::Floats(_) | Values::Texts(_)) => Err("labels are no whole numbers".into()),
        (shape, _) => Err(format!("labels of shape {shape:?}")),
    }
}
