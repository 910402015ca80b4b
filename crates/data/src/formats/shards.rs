//! Shards of webdataset: tar archives with an image and its label side by side, `0001.png` and `0001.cls`.
//!
//! The format is described at <https://github.com/webdataset/webdataset>: what a member's name has before its first
//! dot is the key of a sample, the rest says what the member is. A shard's own name says which split it is of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::archive::Archive;
use crate::classes;
use crate::decode;
use crate::encoded::{EncodedImage, EncodedSet};
use crate::error::{DataError, count, shown};
use crate::formats::split::Split;
use crate::labelled::{MAX_CLASSES, numbered_classes};
use crate::tree::is_hidden;

/// Most bytes of a label, and of what is said of an image.
const MAX_LABEL: u64 = 64;
const MAX_JSON: u64 = 1 << 20;

const FIX: &str = "write x.png and x.cls, the number of its class as text, for each image";

/// The split that the words of a name say.
pub(super) fn split_of(name: &str) -> Option<Split> {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphabetic()).find_map(Split::of_word)
}

/// Where the labels of a shard are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Labels {
    /// `x.cls`, an integer as text.
    Cls,
    /// `x.json`, with an integer `label`.
    Json,
}

impl Labels {
    fn ending(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Json => "json",
        }
    }
}

/// A part of a member's name: before and after the first dot of its last component.
fn key_and_ending(name: &str) -> Option<(&str, String)> {
    if name.split('/').any(|part| is_hidden(part.as_bytes())) {
        return None;
    }
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    Some((&name[..dot], name[dot + 1..].to_lowercase()))
}

fn is_image_ending(ending: &str) -> bool {
    !ending.contains('.') && decode::is_image_name(Path::new(&format!("x.{ending}")))
}

/// Whether an archive is a shard: it has labels as `.cls`, or images in no folder with `.json` beside each, of which
/// the first has a label.
pub(super) fn is_one(archive: &Archive) -> bool {
    labels_of(archive).is_some()
}

fn labels_of(archive: &Archive) -> Option<Labels> {
    let (mut images, mut described) = (0, Vec::new());
    for (i, member) in archive.members.list.iter().enumerate().filter(|(_, member)| !member.is_folder) {
        match key_and_ending(&member.name) {
            Some((_, ending)) if ending == "cls" => return Some(Labels::Cls),
            Some((key, ending)) if !key.contains('/') => {
                images += usize::from(is_image_ending(&ending));
                described.extend((ending == "json").then_some(i));
            }
            _ => (),
        }
    }
    // What is said of images is often something else.
    let says_label = |&i: &usize| label_in(archive, i, Labels::Json).is_ok();
    (images > 0 && described.len() >= images && described.first().is_some_and(says_label))
        .then_some(Labels::Json)
}

/// The images of one shard or of several, in the order of their names.
///
/// `place` is their folder, or the only one. The names of classes are in the list, or else numbers.
///
/// # Errors
/// A shard without labels; a key that is there twice; an image without a label; labels that are no class numbers.
pub(super) fn find(
    (place, name): (&Path, &str),
    shards: &[(Split, Archive)],
    list: classes::List,
) -> Result<EncodedSet, DataError> {
    let (mut images, mut left_out) = (BTreeMap::<Split, Vec<EncodedImage>>::new(), Vec::new());
    left_out.push(what_is_read(place, shards)?);
    for (split, shard) in shards {
        images.entry(*split).or_default().extend(images_of(shard, &mut left_out)?);
        left_out.extend(shard.members.left_out.iter().cloned());
    }
    let (test, validation) = (images.remove(&Split::Test), images.remove(&Split::Validation));
    let Some(train) = images.remove(&Split::Train) else {
        let cause = "there are shards to test with, and none to train on";
        return Err(DataError::malformed(
            place,
            cause,
            "call the others x-train-0000.tar, or name one shard alone",
        ));
    };
    if let (Some(_), Some(validation)) = (&test, &validation) {
        let images = count(validation.len(), "image");
        left_out.push(format!(
            "{images} of the shards to validate with are left out: there are those to test with"
        ));
    }
    let test = test.or(validation);
    let labels = train.iter().chain(test.iter().flatten()).map(|image| image.label as usize + 1);
    let classes = numbered_classes(list, name, labels.max().unwrap_or(0))?;
    let mut set = match test {
        Some(test) => EncodedSet { place: place.into(), classes, train, test, left_out: Vec::new() },
        None => EncodedSet::hold_out(place, classes, train),
    };
    set.left_out = left_out;
    Ok(set)
}

/// A sentence about the shards and their labels.
fn what_is_read(place: &Path, shards: &[(Split, Archive)]) -> Result<String, DataError> {
    let mut endings = Vec::new();
    for (_, shard) in shards {
        let Some(labels) = labels_of(shard) else {
            let (cause, fix) =
                ("this archive has no labels: no member is called x.cls", "or name one archive alone");
            return Err(DataError::malformed(&shard.path, cause, format!("{FIX}; {fix}")));
        };
        let ending = format!("x.{}", labels.ending());
        if !endings.contains(&ending) {
            endings.push(ending);
        }
    }
    let (place, shards) = (shown(place), count(shards.len(), "shard"));
    Ok(format!(
        "{place} is read as {shards} of webdataset: the classes are the labels in {}",
        endings.join(" and ")
    ))
}

/// The members of a sample: their indices.
#[derive(Default)]
struct Sample {
    image: Option<usize>,
    label: Option<usize>,
}

/// The images of a shard, in the order of its members.
fn images_of(shard: &Archive, left_out: &mut Vec<String>) -> Result<Vec<EncodedImage>, DataError> {
    let Some(labels) = labels_of(shard) else { return Ok(Vec::new()) };
    let label_ending = labels.ending();
    let refuse =
        |member: &str, cause: String| Err(DataError::malformed(&shard.path.join(member), cause, FIX));
    let (mut samples, mut order, mut others) = (BTreeMap::<&str, Sample>::new(), Vec::new(), 0);
    for (i, member) in shard.members.list.iter().enumerate().filter(|(_, member)| !member.is_folder) {
        let Some((key, ending)) = key_and_ending(&member.name) else { continue };
        let is_image = is_image_ending(&ending);
        if !is_image && ending != label_ending {
            others += 1;
            continue;
        }
        let sample = samples.entry(key).or_default();
        let place = if is_image { &mut sample.image } else { &mut sample.label };
        if place.replace(i).is_some() {
            let what = if is_image { "images" } else { "labels" };
            return refuse(&member.name, format!("the shard has two {what} of the key {key:?}"));
        }
        if is_image {
            order.push(key);
        }
    }
    if let Some((key, sample)) = samples.iter().find(|(_, sample)| sample.image.is_none()) {
        // One that is described alone is a sample of something else.
        let label = sample.label.map_or("", |i| shard.members.list[i].name.as_str());
        return refuse(label, format!("the shard has a label of the key {key:?} and no image"));
    }
    let mut images = Vec::new();
    for key in order {
        let Sample { image: Some(image), label } = &samples[key] else { continue };
        let name = &shard.members.list[*image].name;
        let Some(label) = label else {
            return refuse(
                name,
                format!("the shard has no {}.{label_ending}, the label of this image", shown(Path::new(key))),
            );
        };
        let label = label_in(shard, *label, labels)?;
        images.push(EncodedImage { path: shard.path.join(name), label, source: shard.source(*image) });
    }
    if others > 0 {
        let members = count(others, "member");
        left_out
            .push(format!("left out of {}: {members}, neither images nor their labels", shown(&shard.path)));
    }
    Ok(images)
}

#[derive(Deserialize)]
struct Described {
    label: i64,
}

/// The class number that this member says.
fn label_in(shard: &Archive, index: usize, labels: Labels) -> Result<u32, DataError> {
    let member = &shard.members.list[index];
    let path: PathBuf = shard.path.join(&member.name);
    let most = if labels == Labels::Cls { MAX_LABEL } else { MAX_JSON };
    let bytes =
        shard.members.container.read(index, most).map_err(|cause| DataError::malformed(&path, cause, FIX))?;
    let text = String::from_utf8_lossy(&bytes);
    let label = match labels {
        Labels::Cls => text.trim().parse::<i64>().map_err(|_| format!("{:?}", text.trim())),
        Labels::Json => serde_json::from_slice::<Described>(&bytes)
            .map(|said| said.label)
            .map_err(|error| error.to_string()),
    };
    match label {
        Ok(label) if (0..MAX_CLASSES as i64).contains(&label) => Ok(label as u32),
        wrong => {
            let wrong = wrong.map_or_else(|wrong| wrong, |label| label.to_string());
            let cause = format!("{wrong} is no class number, a whole number from 0 to {}", MAX_CLASSES - 1);
            Err(DataError::malformed(&path, cause, FIX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_ends_at_the_first_dot_of_the_name() {
        let parts = |name| key_and_ending(name).map(|(key, ending)| (key.to_string(), ending));
        let expected = |key: &str, ending: &str| Some((key.to_string(), ending.to_string()));
        assert_eq!(parts("a.b/0001.left.PNG"), expected("a.b/0001", "left.png"));
        assert_eq!(parts("0001.cls"), expected("0001", "cls"));
        assert_eq!(parts("0001"), None);
        assert_eq!(parts("._0001.png"), None);
        assert_eq!(parts("__MACOSX/1.png"), None);
    }

    #[test]
    fn splits_are_words_of_the_name() {
        assert_eq!(split_of("imagenet-train-000001.tar"), Some(Split::Train));
        assert_eq!(split_of("cifar10_Test_0.tar"), Some(Split::Test));
        assert_eq!(split_of("val000.tar"), Some(Split::Validation));
        assert_eq!(split_of("trainer-1.tar"), None);
        assert_eq!(split_of("contest.tar"), None);
    }
}
