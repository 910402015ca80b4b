//! What CIFAR-10 and CIFAR-100 are, however they are stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::label::LabelKind;
use crate::options::FolderOptions;
use crate::{classes, fit};

/// The red, the green and the blue plane of 32 rows each, which is also the order of this crate.
pub(super) const SHAPE: Shape = Shape { channels: 3, height: 32, width: 32 };

/// The bytes of an image.
pub(super) const PIXELS: usize = 3 * 32 * 32;

/// The largest file in bytes; the largest published one has 155 MB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// Which of the two sets, and which labels of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Ten,
    Hundred(LabelKind),
}

impl Set {
    /// CIFAR-100 with the labels that were asked for.
    pub(super) fn hundred(label: Option<LabelKind>) -> Self {
        Set::Hundred(label.unwrap_or(LabelKind::Fine))
    }

    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Set::Ten => "CIFAR-10",
            Set::Hundred(_) => "CIFAR-100",
        }
    }

    /// The published names of its classes, in the order of the labels.
    pub(super) fn class_names(self) -> &'static [&'static str] {
        match self {
            Set::Ten => &classes::CIFAR10,
            Set::Hundred(LabelKind::Fine) => &classes::CIFAR100_FINE,
            Set::Hundred(LabelKind::Coarse) => &classes::CIFAR100_COARSE,
        }
    }

    /// These names, if there are as many as classes. `path` is the file that they are from.
    pub(super) fn checked(self, path: &Path, names: Vec<String>) -> Result<Vec<String>, DataError> {
        let (set, classes) = (self.name(), self.class_names().len());
        match names.len() == classes {
            true => Ok(names),
            false => Err(DataError::malformed(
                path,
                format!("{} class names where {set} has {classes}", names.len()),
                "write one class name a line, in label order, or remove the file",
            )),
        }
    }

    /// An error for a label that is none of the set's.
    pub(super) fn check_label(self, path: &Path, label: i64, place: &str) -> Result<u32, DataError> {
        let classes = self.class_names().len();
        match u32::try_from(label) {
            Ok(label) if (label as usize) < classes => Ok(label),
            _ => Err(DataError::malformed(
                path,
                format!("label {label} of {place} is not one of 0 to {}", classes - 1),
                "fetch the file again",
            )),
        }
    }

    /// The splits, in the size that was asked for.
    pub(super) fn splits(
        self,
        names: Vec<String>,
        [train, test]: [Images; 2],
        options: &FolderOptions,
    ) -> Result<Splits, DataError> {
        let names: Arc<[String]> = names.into();
        let (name, note) = match self {
            Set::Ten => ("cifar-10".to_string(), None),
            Set::Hundred(kind) => {
                let note =
                    format!("the classes are the {kind} labels; --label {} takes the others", kind.other());
                (format!("cifar-100-{kind}"), Some(note).filter(|_| options.label.is_none()))
            }
        };
        let splits = Splits::new(name, train.dataset(&names)?, test.dataset(&names)?)?;
        fit::splits(Splits { left_out: note.into_iter().collect(), ..splits }, options)
    }
}

/// Images and their labels.
#[derive(Debug, Default)]
pub(super) struct Images {
    pub labels: Vec<u32>,
    pub pixels: Vec<u8>,
}

impl Images {
    pub(super) fn dataset(self, names: &Arc<[String]>) -> Result<Dataset, DataError> {
        Dataset::new(SHAPE, self.pixels, self.labels, names.clone())
    }
}

/// How a version of the sets is stored: binary, or as Python's pickles.
pub(super) struct Version {
    /// What people call it.
    pub name: &'static str,
    /// The names of the classes, from the directory or else the published ones.
    pub class_names: fn(&Path, Set) -> Result<Vec<String>, DataError>,
    /// Appends the images in the bytes of a file, which messages call by its path.
    pub append: fn(Set, &Path, &[u8], &mut Images) -> Result<(), DataError>,
}

impl Version {
    /// Both splits of the files in `dir`.
    ///
    /// # Errors
    /// A missing file, and those of `class_names` and `append`.
    pub(super) fn read(
        &self,
        dir: &Path,
        set: Set,
        (train, test): (&[&str], &str),
        options: &FolderOptions,
    ) -> Result<Splits, DataError> {
        let version = format!("{}'s {} version", set.name(), self.name);
        check_present(dir, &version, &[train, &[test]].concat())?;
        let names = (self.class_names)(dir, set)?;
        let split = |files: &[&str]| {
            of_files(dir, (&version, files), options.max_bytes, |path, images| {
                let bytes = duet_files::read(&path, MAX_BYTES).map_err(|e| DataError::read(&path, e))?;
                (self.append)(set, &path, &bytes, images)
            })
        };
        set.splits(names, [split(train)?, split(&[test])?], options)
    }
}

/// # Errors
/// A file of these that is not in the directory.
fn check_present(dir: &Path, set: &str, files: &[&str]) -> Result<(), DataError> {
    let missing: Vec<String> =
        files.iter().filter(|name| !dir.join(name).is_file()).map(|name| name.to_string()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(DataError::Missing { dir: dir.into(), set: set.into(), names: missing }),
    }
}

/// The images of several files, in their order, of at most `max_bytes` bytes.
fn of_files(
    dir: &Path,
    (set, files): (&str, &[&str]),
    max_bytes: u64,
    read: impl Fn(PathBuf, &mut Images) -> Result<(), DataError>,
) -> Result<Images, DataError> {
    let mut images = Images::default();
    for file in files {
        read(dir.join(file), &mut images)?;
        let claim = format!("{set}'s files up to {file}");
        fit::check_bytes(dir, &claim, images.pixels.len() as u64, max_bytes)?;
    }
    Ok(images)
}
