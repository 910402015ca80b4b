//! Arrays of NumPy: MedMNIST's, Keras' and Kuzushiji's `.npz` files, and `.npy` files side by side.
//!
//! An `.npz` file is a zip archive of `.npy` files. What an array is, its name says: `train_images`, `x_test`,
//! `y_train`, `labels`. A file with one nameless array (`arr_0`) has the name of the file.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::classes;
use crate::dataset::{Dataset, Shape, Splits, check_names};
use crate::error::DataError;
use crate::fit;
use crate::format::{Format, Found, Tried};
use crate::formats::npy::{self, Array, Values};
use crate::formats::split::Split;
use crate::labelled::{Labelled, MAX_CLASSES};
use crate::pixels::{Depth, Pixels, Sample, either_depth};

/// The array of an archive that names the classes.
const CLASS_NAMES: &str = "class_names";
/// Most members of an archive that are looked at.
const MAX_MEMBERS: usize = 1000;

/// One `.npz` file, or those and `.npy` files in a directory without folders.
pub(super) const FORMAT: Format = Format {
    holds: "NumPy's arrays, a .npz file or .npy files: images (n, h, w) or (n, h, w, 3) and labels (n), named \
            train_images and train_labels, x_train and y_train, or images and labels; test_images and test_labels \
            beside them, or every tenth image of a class is held out; class_names (texts) in a .npz file",
    tried: Tried::Otherwise,
    subfolders: &[],
    may_have_two_labels: false,
    is_file_of_set: is_file,
    find: |place| {
        let names: Vec<PathBuf> = match place.chosen {
            Some(chosen) if is_file(chosen) => with_partners(chosen, &place.listing.files),
            Some(_) => return Ok(None),
            None if place.listing.folders.is_empty() => {
                place.listing.files.iter().filter(|name| is_file(name)).map(PathBuf::from).collect()
            }
            None => return Ok(None),
        };
        let (dir, paths) =
            (place.dir.to_path_buf(), names.iter().map(|name| place.dir.join(name)).collect::<Vec<_>>());
        Ok((!paths.is_empty()).then(|| -> Found {
            Box::new(move |name, options| fit::splits(read(&dir, &paths, name, options.max_bytes)?, options))
        }))
    },
};

fn is_file(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".npz") || name.ends_with(".npy")
}

/// The file that a person named, and where its name is that of one array, the other arrays of its set.
fn with_partners(chosen: &str, files: &[String]) -> Vec<PathBuf> {
    let family = |name: &str| Some(role(stem(name))?.2);
    match family(chosen) {
        Some(own) => files
            .iter()
            .filter(|name| is_file(name) && family(name) == Some(own.clone()))
            .map(PathBuf::from)
            .collect(),
        None => vec![chosen.into()],
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether it holds images or labels, of which part, and the words of its name besides.
fn role(name: &str) -> Option<(Split, bool, String)> {
    let lower = name.to_lowercase();
    let (mut part, mut images, mut family) = (Split::Train, None, Vec::new());
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        match word {
            "train" | "training" => part = Split::Train,
            "val" | "valid" | "validation" => part = Split::Validation,
            "test" => part = Split::Test,
            "images" | "image" | "imgs" | "img" | "x" | "data" => images = Some(true),
            "labels" | "label" | "y" | "target" | "targets" => images = Some(false),
            word => family.push(word),
        }
    }
    Some((part, images?, family.join(" ")))
}

/// An array and where it is from.
struct Member {
    /// The member of an archive, or the file, for people.
    place: String,
    path: PathBuf,
    array: Array,
}

type Members = BTreeMap<(Split, bool), Member>;

/// All splits of the arrays in these files.
fn read(dir: &Path, paths: &[PathBuf], name: &str, max_bytes: u64) -> Result<Splits, DataError> {
    let (mut members, mut left_out, mut names) = (Members::new(), Vec::new(), None);
    let mut left = max_bytes;
    for path in paths {
        let file =
            std::io::BufReader::new(duet_files::open(path).map_err(|error| DataError::read(path, error))?);
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file_name.to_lowercase().ends_with(".npy") {
            add(&mut members, &mut left_out, (path, stem(&file_name), None), file, &mut left)?;
        } else {
            let found = read_archive(&mut members, &mut left_out, path, file, &mut left)?;
            names = names.or(found);
        }
    }
    let set = match paths {
        [path] => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        _ => name.into(),
    };
    let splits = splits(dir, &set, members, left_out)?;
    named(splits, names)
}

/// The names of the classes, where the archive has them.
fn read_archive(
    members: &mut Members,
    left_out: &mut Vec<String>,
    path: &Path,
    file: impl Read + Seek,
    left: &mut u64,
) -> Result<Option<Vec<String>>, DataError> {
    let mut names = None;
    let refuse = |cause: String| {
        DataError::malformed(path, cause, "write it with numpy.savez(path, train_images=…, train_labels=…)")
    };
    let mut archive = ZipArchive::new(file).map_err(|error| refuse(format!("no .npz file: {error}")))?;
    if archive.len() > MAX_MEMBERS {
        let count = archive.len();
        return Err(refuse(format!("it has {count} members, and at most {MAX_MEMBERS} are looked at")));
    }
    for i in 0..archive.len() {
        let member = archive.by_index(i).map_err(|error| refuse(format!("member {i}: {error}")))?;
        let name = member.name().map_err(|error| refuse(format!("member {i}: {error}")))?.into_owned();
        let Some(array) = name.strip_suffix(".npy").filter(|name| !name.contains(['/', '\\'])) else {
            left_out.push(format!("{name} of {} is no array of NumPy", path.display()));
            continue;
        };
        if array == CLASS_NAMES {
            names = Some(class_names(path, member)?);
            continue;
        }
        // numpy.savez(path, array) names it so.
        let file_stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let key = if array.starts_with("arr_") { file_stem.as_str() } else { array };
        add(members, left_out, (path, key, Some(array)), member, left)?;
    }
    Ok(names)
}

fn class_names(path: &Path, file: impl Read) -> Result<Vec<String>, DataError> {
    let refuse = |cause: String| {
        DataError::malformed(path, format!("{CLASS_NAMES}: {cause}"), "give it as an array (n) of texts")
    };
    match npy::read(file, classes::MAX_BYTES).map_err(refuse)? {
        Array { shape, values: Values::Texts(names) } if shape.len() == 1 => {
            check_names(&names).map_err(refuse)?;
            Ok(names)
        }
        _ => Err(refuse("no list of texts".into())),
    }
}

/// The same images, with these names of the classes if there are any.
fn named(splits: Splits, names: Option<Vec<String>>) -> Result<Splits, DataError> {
    let Some(names) = names else { return Ok(splits) };
    let of = |set: Dataset| set.with_classes(names.clone());
    Ok(Splits { train: of(splits.train)?, test: of(splits.test)?, ..splits })
}

/// Reads an array whose name says what it is; another is left out.
fn add(
    members: &mut Members,
    left_out: &mut Vec<String>,
    (path, key, within): (&Path, &str, Option<&str>),
    file: impl Read,
    left: &mut u64,
) -> Result<(), DataError> {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let place = within.map_or(file_name.into_owned(), String::from);
    let Some((part, images, _)) = role(key) else {
        left_out.push(format!("the name of {place} says neither images nor labels, so it is left out"));
        return Ok(());
    };
    let fix = "give an array of numbers: images (n, h, w) or (n, h, w, 3), labels (n)";
    let array = npy::read(file, *left)
        .map_err(|cause| DataError::malformed(path, format!("{place}: {cause}"), fix))?;
    *left -= bytes(&array).min(*left);
    if let Some(before) = members.get(&(part, images)) {
        let before = &before.place;
        let cause = format!("{place} and {before} are both {}", if images { "images" } else { "labels" });
        return Err(DataError::malformed(
            path,
            cause,
            "keep one of the two, or put the sets into folders of their own",
        ));
    }
    members.insert((part, images), Member { place, path: path.into(), array });
    Ok(())
}

fn bytes(array: &Array) -> u64 {
    match &array.values {
        Values::Bytes(values) => values.len() as u64,
        Values::Words(values) => 2 * values.len() as u64,
        Values::Integers(values) => 8 * values.len() as u64,
        Values::Floats(values) => 4 * values.len() as u64,
        Values::Texts(values) => values.iter().map(|text| text.len() as u64).sum(),
    }
}

/// The splits that the arrays make: test images, else those to validate with, else some of each class.
fn splits(
    dir: &Path,
    name: &str,
    mut members: Members,
    mut left_out: Vec<String>,
) -> Result<Splits, DataError> {
    let scale = Scale::of(&members)?;
    let mut pair = |part: Split| -> Result<Option<Labelled>, DataError> {
        match (members.remove(&(part, true)), members.remove(&(part, false))) {
            (None, None) => Ok(None),
            (Some(images), Some(labels)) => {
                let labels = labels_of(&labels)?;
                labelled(images, labels, scale).map(Some)
            }
            (Some(one), None) | (None, Some(one)) => Err(DataError::malformed(
                &one.path,
                format!("{}: images without labels, or labels without images", one.place),
                "both are needed: train_images and train_labels, x_train and y_train, or images and labels",
            )),
        }
    };
    let (train, validation, test) = (pair(Split::Train)?, pair(Split::Validation)?, pair(Split::Test)?);
    let Some(train) = train else {
        return Err(DataError::malformed(
            dir,
            format!("{name}: no array is called images, x or train_images"),
            "name the arrays: numpy.savez(path, train_images=…, train_labels=…)",
        ));
    };
    if let (Some(_), Some(images)) = (&test, &validation) {
        left_out.push(format!("{} are left out: there are images to test with", images.place));
    }
    train.splits((dir, name), test.or(validation), left_out)
}

fn labels_of(member: &Member) -> Result<Vec<u32>, DataError> {
    let refuse = |cause: String| {
        let place = &member.place;
        let fix = format!("give integers from 0 to {}, one for each image", MAX_CLASSES - 1);
        DataError::malformed(&member.path, format!("{place}: {cause}"), fix)
    };
    if !matches!(member.array.shape[..], [_] | [_, 1]) {
        return Err(refuse(format!(
            "labels of shape {:?}, and (n) or (n, 1) is expected",
            member.array.shape
        )));
    }
    let label =
        |(i, value): (usize, f64)| match value.fract() == 0.0 && (0.0..MAX_CLASSES as f64).contains(&value) {
            true => Ok(value as u32),
            false => Err(refuse(format!("label {value} of image {i} is none"))),
        };
    match &member.array.values {
        Values::Bytes(values) => Ok(values.iter().map(|&value| value.into()).collect()),
        Values::Words(values) => values.iter().map(|&value| value.into()).enumerate().map(label).collect(),
        Values::Integers(values) => values.iter().map(|&value| value as f64).enumerate().map(label).collect(),
        Values::Floats(values) => values.iter().map(|&value| value.into()).enumerate().map(label).collect(),
        Values::Texts(_) => Err(refuse("texts, and numbers are expected".into())),
    }
}

/// Images of the scale's depth, with their labels.
fn labelled(images: Member, labels: Vec<u32>, scale: Scale) -> Result<Labelled, DataError> {
    let Member { place, path, array } = images;
    let refuse = |cause: String| {
        let fix = "give images (n, h, w), (n, h, w, 1), (n, h, w, 3) or (n, 3, h, w), bytes or numbers in 0 to 1, \
                   -1 to 1 or 0 to 255";
        DataError::malformed(&path, format!("{place}: {cause}"), fix)
    };
    let (count, shape, channels_last) = match array.shape[..] {
        [count, height, width] => (count, Shape { channels: 1, height, width }, false),
        [count, height, width, channels @ (1 | 3)] => (count, Shape { channels, height, width }, true),
        [count, channels @ (1 | 3), height, width] => (count, Shape { channels, height, width }, false),
        ref shape => return Err(refuse(format!("images of shape {shape:?}"))),
    };
    if count != labels.len() {
        let cause = format!("{place}: {count} images and {} labels", labels.len());
        return Err(DataError::malformed(&path, cause, "give one label for each image"));
    }
    let pixels = scale.pixels(array.values).map_err(refuse)?;
    let pixels = match channels_last && shape.channels == 3 {
        true => either_depth!(pixels, values => planes(&values, 3, shape.height * shape.width)),
        false => pixels,
    };
    Ok(Labelled { place, shape, pixels, labels })
}

/// (n, pixels, channels) to (n, channels, pixels).
fn planes<T: Sample>(pixels: &[T], channels: usize, area: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(pixels.len());
    for image in pixels.chunks_exact((area * channels).max(1)) {
        for channel in 0..channels {
            out.extend(image.iter().skip(channel).step_by(channels));
        }
    }
    out
}

/// What black and white are, of the arrays of all parts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    point: Point,
    /// Sixteen if arrays of 16 bits hold more than bytes.
    depth: Depth,
}

/// What black and white are among numbers with a point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    /// 0 and 1.
    Unit,
    /// -1 and 1.
    Signed,
    /// 0 and 255.
    Bytes,
}

impl Scale {
    fn of(members: &Members) -> Result<Self, DataError> {
        let images = || members.iter().filter(|((_, images), _)| *images).map(|(_, member)| member);
        let is_deep = |member: &Member| match &member.array.values {
            Values::Words(values) => values.iter().any(|&value| value > u16::from(u8::MAX)),
            _ => false,
        };
        let depth = if images().any(is_deep) { Depth::Sixteen } else { Depth::Eight };
        Ok(Self { point: Point::of(images())?, depth })
    }

    fn pixels(self, values: Values) -> Result<Pixels, String> {
        let bytes = match values {
            Values::Words(values) if self.depth == Depth::Sixteen => return Ok(values.into()),
            Values::Words(values) => values.into_iter().map(|value| value as u8).collect(),
            Values::Bytes(values) => values,
            Values::Texts(_) => return Err("texts, and numbers are expected".into()),
            Values::Floats(values) => values.into_iter().map(|value| self.point.byte(value)).collect(),
            Values::Integers(values) => match values.iter().find(|value| !(0..=255).contains(*value)) {
                Some(value) => {
                    return Err(format!(
                        "a value is {value}, and whole numbers are 0 to 255, or 0 to 65535 in an array of uint16"
                    ));
                }
                None => values.into_iter().map(|value| value as u8).collect(),
            },
        };
        Ok(Pixels::from(bytes).deepened(self.depth))
    }
}

impl Point {
    /// The narrowest that holds the values of all images, of every part.
    fn of<'a>(images: impl Iterator<Item = &'a Member>) -> Result<Self, DataError> {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for member in images {
            let Values::Floats(values) = &member.array.values else { continue };
            let refuse = |cause: String| {
                let fix = "give numbers in 0 to 1, -1 to 1 or 0 to 255";
                DataError::malformed(&member.path, format!("{}: {cause}", member.place), fix)
            };
            for &value in values {
                if !value.is_finite() {
                    return Err(refuse(format!("a value is {value}")));
                }
                (low, high) = (low.min(value), high.max(value));
            }
            if low < -1.0 || high > if low < 0.0 { 1.0 } else { 255.0 } {
                return Err(refuse(format!("values from {low} to {high}")));
            }
        }
        Ok(match (low < 0.0, high > 1.0) {
            (true, _) => Self::Signed,
            (false, true) => Self::Bytes,
            (false, false) => Self::Unit,
        })
    }

    fn byte(self, value: f32) -> u8 {
        let value = match self {
            Self::Unit => 255.0 * value,
            Self::Signed => (value + 1.0) * 127.5,
            Self::Bytes => value,
        };
        value.round() as u8
    }
}

/// As [`FORMAT`] reads them, from one file in memory.
pub(crate) fn read_bytes(bytes: &[u8], max_bytes: u64) -> Result<Splits, DataError> {
    let (mut members, mut left_out, mut left) = (Members::new(), Vec::new(), max_bytes);
    let path = Path::new("arrays.npz");
    let names = read_archive(&mut members, &mut left_out, path, std::io::Cursor::new(bytes), &mut left)?;
    let splits = splits(Path::new("arrays"), "arrays", members, left_out)?;
    named(splits, names)
}
