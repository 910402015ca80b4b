//! Class names: those of well-known data sets, those in a file, and those that a person types.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::dataset::check_names;
use crate::error::DataError;
use crate::tree::{Disk, Tree};

/// The largest list of names in bytes. A longer file is something else.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// CIFAR-10's classes in the order of its labels.
pub(crate) const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-100's 100 fine classes in the order of its labels.
#[rustfmt::skip]
pub(crate) const CIFAR100_FINE: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
];

/// CIFAR-100's 20 coarse classes in the order of its labels.
pub(crate) const CIFAR100_COARSE: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// Fashion-MNIST's classes in the order of its labels.
pub(crate) const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Kuzushiji-MNIST's classes in the order of its labels.
pub(crate) const KUZUSHIJI: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];

/// The class that a person means by `text`: a name or a number.
///
/// An exact name comes first, then a name that differs only by case if there is exactly one, then an index
/// below `classes.len()`. Thus `7` is the digit 7 in a set of digits, and class 7 in other sets. `None` if
/// nothing fits.
pub fn class_index(classes: &[String], text: &str) -> Option<usize> {
    if let Some(exact) = classes.iter().position(|name| name == text) {
        return Some(exact);
    }
    let wanted = text.to_lowercase();
    let mut alike = (0..classes.len()).filter(|&i| classes[i].to_lowercase() == wanted);
    if let (Some(only), None) = (alike.next(), alike.next()) {
        return Some(only);
    }
    text.parse().ok().filter(|&i| i < classes.len())
}

/// `0` to `9`.
pub(crate) fn digits() -> Vec<String> {
    letters('0'..='9')
}

/// The classes of one of EMNIST's six splits in the order of its labels; `None` for other names.
///
/// In `balanced` and `bymerge`, upper and lower case share a class if they look alike.
pub(crate) fn emnist(split: &str) -> Option<Vec<String>> {
    let capitals = || letters('A'..='Z');
    Some(match split {
        "digits" | "mnist" => digits(),
        "letters" => capitals(),
        "byclass" => [digits(), capitals(), letters('a'..='z')].concat(),
        "balanced" | "bymerge" => [digits(), capitals(), letters("abdefghnqrt".chars())].concat(),
        _ => return None,
    })
}

/// Owned names.
pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn letters(chars: impl IntoIterator<Item = char>) -> Vec<String> {
    chars.into_iter().map(String::from).collect()
}

/// A list of class names: where it is or would be, and the names if it is there.
pub(crate) type List = (PathBuf, Option<Vec<String>>);

/// The `classes.txt` of a folder of this tree.
///
/// # Errors
/// As [`read_file`].
pub(crate) fn list_in(tree: &dyn Tree, dir: &Path) -> Result<List, DataError> {
    let path = dir.join("classes.txt");
    let names = read_in(tree, &path)?;
    Ok((path, names))
}

/// The names in a file, one in each line, or `None` if the file does not exist.
///
/// # Errors
/// A file that cannot be read or is not UTF-8; an empty line before a name; repeated names.
pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<String>>, DataError> {
    read_in(&Disk, path)
}

fn read_in(tree: &dyn Tree, path: &Path) -> Result<Option<Vec<String>>, DataError> {
    match tree.read(path, MAX_BYTES) {
        Ok(bytes) => read_bytes(path, &bytes).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::FileTooLarge | ErrorKind::InvalidInput | ErrorKind::InvalidData
            ) =>
        {
            Err(malformed(path, e.to_string()))
        }
        Err(e) => Err(DataError::read(path, e)),
    }
}

/// The names in these bytes, one in each line. Messages call the bytes `path`.
///
/// # Errors
/// As [`read_file`].
pub(crate) fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Vec<String>, DataError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(malformed(path, format!("more than {MAX_BYTES} bytes of class names")));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|e| malformed(path, format!("class names are not UTF-8: {e}")))?;
    let names: Vec<String> =
        text.trim_start_matches('\u{feff}').trim_end().lines().map(|line| line.trim().to_string()).collect();
    check_names(&names).map_err(|cause| malformed(path, cause))?;
    Ok(names)
}

fn malformed(path: &Path, cause: String) -> DataError {
    DataError::malformed(path, cause, "write one class name a line, in label order")
}
