//! Images with a `dataset.json`, as EDM's and StyleGAN's `dataset_tool.py` write them.
//!
//! `{"labels": [["00000/img00000000.png", 3], …]}` names every image, with a number for its class. Folders mean
//! nothing. EDM is described at <https://github.com/NVlabs/edm>.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::classes;
use crate::decode;
use crate::encoded::{EncodedImage, EncodedSet};
use crate::error::{DataError, count, shown};
use crate::format::{Format, Found, Tried};
use crate::formats::folder::Place;
use crate::labelled::{MAX_CLASSES, numbered_classes};
use crate::tree::{Disk, Tree};

/// Most bytes of a `dataset.json`: more than ImageNet's.
const MAX_BYTES: u64 = 256 << 20;
/// Most folders that an image may be deep.
const DEPTH: usize = 32;

const LIST: &str = "dataset.json";
const FIX: &str = "write [\"folder/image.png\", class number] for each image, as EDM's dataset_tool.py does";

/// Images in any folders and a `dataset.json`.
pub(super) const FORMAT: Format = Format {
    holds: "images with their classes in EDM's dataset.json: {\"labels\": [[\"00000/img00000000.png\", 3], …]}",
    tried: Tried::Otherwise,
    subfolders: &[],
    may_have_two_labels: false,
    is_file_of_set: |_| false,
    find: |place| {
        if place.chosen.is_some() || !place.listing.files.iter().any(|name| name == LIST) {
            return Ok(None);
        }
        let images = Labels::find(Place { tree: &Disk, dir: place.dir })?;
        let dir = place.dir.to_path_buf();
        Ok(images.map(|labels| -> Found {
            Box::new(move |name, options| {
                let classes = classes::list_in(&Disk, &dir)?;
                labels.set(Place { tree: &Disk, dir: &dir }, classes, name)?.read(name, options)
            })
        }))
    },
};

/// What a `dataset.json` says.
pub(super) struct Labels(Vec<(String, u32)>);

/// Names of images and their labels.
type Pairs = Vec<(String, Label)>;

#[derive(Deserialize)]
struct Listed {
    /// A list that is null is there, and one that is absent makes the file another's.
    #[serde(default, deserialize_with = "present")]
    labels: Option<Option<Pairs>>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Pairs>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Integer(i64),
    Other(serde::de::IgnoredAny),
}

impl Labels {
    /// The labels of a folder with a `dataset.json`. `None` if that file speaks of something else.
    ///
    /// # Errors
    /// A file that is no JSON; no labels; labels that are no class numbers; an image twice.
    pub(super) fn find(place: Place) -> Result<Option<Self>, DataError> {
        let path = place.dir.join(LIST);
        let bytes = match place.tree.read(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::malformed(&path, error.to_string(), FIX)),
        };
        let listed: Listed = serde_json::from_slice(&bytes).map_err(|error| {
            DataError::malformed(&path, format!("this is no list of labels: {error}"), FIX)
        })?;
        let Some(labels) = listed.labels else { return Ok(None) };
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else {
            return Err(DataError::malformed(
                &path,
                "there are no labels in it, and without classes there is nothing to guide",
                format!("{FIX}, or remove it if the folders are the classes"),
            ));
        };
        let label = |(name, label): (String, Label)| match label {
            Label::Integer(label) if (0..MAX_CLASSES as i64).contains(&label) => {
                Ok((name.replace('\\', "/"), label as u32))
            }
            Label::Integer(label) => Err(refused(&path, &name, &format!("label {label}"))),
            Label::Other(_) => Err(refused(&path, &name, "a label that is no whole number")),
        };
        Ok(Some(Self(labels.into_iter().map(label).collect::<Result<_, _>>()?)))
    }

    /// The set of these images, with the class names in the list or else numbers.
    ///
    /// # Errors
    /// Images without labels, labels without images, an image with two labels; a list that has too few names.
    pub(super) fn set(self, place: Place, list: classes::List, name: &str) -> Result<EncodedSet, DataError> {
        let path = place.dir.join(LIST);
        let mut images = HashSet::new();
        find_images(place.tree, place.dir, DEPTH, &mut |image| {
            images.insert(image);
        })?;
        let mut found = Vec::new();
        for (name, label) in self.0 {
            let image = place.dir.join(&name);
            if !images.remove(&image) {
                let seen = found.iter().any(|found: &EncodedImage| found.path == image);
                let cause = if seen { "has two labels" } else { "is no image there" };
                let cause = format!("{} {cause}", shown(Path::new(&name)));
                return Err(DataError::malformed(&path, cause, FIX));
            }
            found.push(EncodedImage { source: place.tree.source(&image), path: image, label });
        }
        if let Some(first) = images.iter().min() {
            let cause = format!("{} without a label, such as {}", count(images.len(), "image"), shown(first));
            return Err(DataError::malformed(&path, cause, FIX));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let classes = found.iter().map(|image| image.label as usize + 1).max().unwrap_or(0);
        let classes = numbered_classes(list, name, classes)?;
        let mut set = EncodedSet::hold_out(place.dir, classes, found);
        set.left_out.push(format!(
            "{} is read as EDM's set: the classes are the labels of its {LIST}",
            shown(place.dir)
        ));
        Ok(set)
    }
}

fn refused(path: &Path, name: &str, label: &str) -> DataError {
    let cause = format!(
        "{} has {label}, and classes are whole numbers from 0 to {}",
        shown(Path::new(name)),
        MAX_CLASSES - 1
    );
    DataError::malformed(path, cause, FIX)
}

/// Gives every image in a folder and in those inside it. Links to folders are not followed.
fn find_images(
    tree: &dyn Tree,
    folder: &Path,
    depth: usize,
    give: &mut dyn FnMut(PathBuf),
) -> Result<(), DataError> {
    for path in tree.entries(folder)? {
        if !tree.is_folder(&path) {
            if decode::is_image_name(&path) {
                give(path);
            }
        } else if depth > 0 && !tree.is_link(&path) {
            find_images(tree, &path, depth - 1, give)?;
        }
    }
    Ok(())
}
