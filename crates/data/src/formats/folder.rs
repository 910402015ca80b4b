//! One folder of images per class.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::decode;
use crate::encoded::{EncodedImage, EncodedSet};
use crate::error::{DataError, count, shown};
use crate::format::{Format, Found, Tried};
use crate::formats::left_out::{LeftOut, folder_with_images};
use crate::formats::made;
use crate::listing::Listing;
use crate::tree::{Disk, Tree};

/// Classes that a sentence names.
const SHOWN: usize = 8;

/// The possible names of the training split's folder.
const TRAIN_NAMES: [&str; 2] = ["train", "training"];

/// The possible names of the test split's folder beside it. The first one that holds classes counts.
const TEST_NAMES: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// A folder of images for each class. The folders may have any names.
pub(super) const FORMAT: Format = Format {
    holds: "one folder of images per class (PNG, JPEG, WebP, GIF, BMP or TIFF), or such folders inside train/ and test/, or one folder of \
            images whose names begin with their class, such as cat_017.png",
    tried: Tried::Otherwise,
    subfolders: &[],
    may_have_two_labels: false,
    is_file_of_set: |_| false,
    find: |place| {
        let images = find(Place { tree: &Disk, dir: place.dir }, place.listing)?;
        Ok(images.map(|images| -> Found { Box::new(|name, options| images.read(name, options)) }))
    },
};

/// A folder of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub tree: &'a dyn Tree,
    pub dir: &'a Path,
}

/// Whether a folder of this name holds a split.
pub(crate) fn is_split_name(name: &str) -> bool {
    TRAIN_NAMES.iter().chain(&TEST_NAMES).any(|split| name.eq_ignore_ascii_case(split))
}

/// Finds the images of a folder, which has the content `listing`. `None` if no folder holds an image.
///
/// # Errors
/// A folder that cannot be listed; an empty class; images in a subfolder of a class folder; class names
/// that differ only by case or are not UTF-8; a class of the test split that the training split lacks.
pub(crate) fn find(place: Place, listing: &Listing) -> Result<Option<EncodedSet>, DataError> {
    let mut left_out = LeftOut::default();
    let Some(mut found) = found(place, &listing.folders, &mut left_out)? else { return flat(place, listing) };
    found.left_out.extend(left_out.sentence());
    if listing.has_images() {
        let images = count(listing.images(), "image");
        found.left_out.push(format!("{images} beside the class folders, and in none of them, are left out"));
    }
    Ok(Some(found))
}

/// The images directly in a folder, whose classes are in their names, as guided-diffusion has it: `cat_017.png`.
///
/// `None` unless every image has such a name, and there are two classes or more of two images or more.
fn flat(place: Place, listing: &Listing) -> Result<Option<EncodedSet>, DataError> {
    let mut files: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for name in listing.files.iter().filter(|name| decode::is_image_name(Path::new(name))) {
        let Some((class, rest)) = name.split_once('_').filter(|(class, _)| !class.is_empty()) else {
            return Ok(None);
        };
        // The ending alone is no name of an image.
        if rest.starts_with('.') {
            return Ok(None);
        }
        files.entry(class).or_default().push(place.dir.join(name));
    }
    if files.len() < 2 || files.values().any(|files| files.len() < 2) {
        return Ok(None);
    }
    let of = |(name, files): (&str, Vec<PathBuf>)| ClassFolder {
        name: name.into(),
        folder: place.dir.into(),
        files,
        inside: Vec::new(),
    };
    let classes: Vec<ClassFolder> = files.into_iter().map(of).collect();
    check_names(&classes)?;
    let mut found = held_out_split(place, classes);
    let names = found.classes.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = if found.classes.len() > SHOWN { ", …" } else { "" };
    found.left_out.push(format!("the classes are what the files' names begin with: {names}{more}"));
    Ok(Some(found))
}

fn found(place: Place, folders: &[PathBuf], left_out: &mut LeftOut) -> Result<Option<EncodedSet>, DataError> {
    for train in named(folders, &TRAIN_NAMES) {
        // A class may have the name train. It then holds images and no folders.
        let inside = Listing::of(place.tree, train)?;
        if inside.has_images() {
            continue;
        }
        if let Some(classes) = class_folders(place.tree, &inside.folders, left_out)? {
            let mut found = given_split(place, classes, &named(folders, &TEST_NAMES), left_out)?;
            found.left_out.extend(beside_train(place.tree, folders, train)?);
            return Ok(Some(found));
        }
    }
    match class_folders(place.tree, folders, left_out)? {
        Some(classes) => Ok(Some(held_out_split(place, classes))),
        None => Ok(None),
    }
}

/// The name and the folder of a class, and the image files and folders in it.
struct ClassFolder {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
    inside: Vec<PathBuf>,
}

/// The classes of these folders, in byte order. `None` if no folder holds an image.
fn class_folders(
    tree: &dyn Tree,
    folders: &[PathBuf],
    left_out: &mut LeftOut,
) -> Result<Option<Vec<ClassFolder>>, DataError> {
    let mut classes = Vec::new();
    let mut others = Vec::new();
    for folder in folders {
        let (inside, files): (Vec<_>, Vec<_>) =
            tree.entries(folder)?.into_iter().partition(|path| tree.is_folder(path));
        let (files, other): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| decode::is_image_name(path));
        if made::is_made(tree, folder, &inside, !files.is_empty())? {
            continue;
        }
        others.extend(other);
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            return Err(DataError::malformed(
                folder,
                "the name of this class folder is not UTF-8",
                "rename it",
            ));
        };
        classes.push(ClassFolder { name: name.into(), folder: folder.clone(), files, inside });
    }
    if classes.iter().all(|class| class.files.is_empty()) {
        return Ok(None);
    }
    for class in &classes {
        if let Some(deeper) = folder_with_images(tree, &class.inside) {
            return Err(DataError::malformed(
                &deeper,
                "this folder holds images, and only those directly in a class folder are read",
                format!("move them to {}, or the folder elsewhere", shown(&class.folder)),
            ));
        }
    }
    others.iter().for_each(|path| left_out.add(path));
    if let Some(empty) = classes.iter().find(|class| class.files.is_empty()) {
        return Err(DataError::malformed(
            &empty.folder,
            "this class folder holds no image file",
            "put images directly into it, or remove it",
        ));
    }
    check_names(&classes)?;
    Ok(Some(classes))
}

/// Refuses names that some file systems take for one.
fn check_names(classes: &[ClassFolder]) -> Result<(), DataError> {
    let mut seen = HashMap::new();
    for class in classes {
        if let Some(other) = seen.insert(class.name.to_lowercase(), &class.name) {
            return Err(DataError::malformed(
                &class.folder,
                format!("this class name differs from {other} by case alone"),
                "rename one of the two folders, or merge them",
            ));
        }
    }
    Ok(())
}

/// The folders with one of these names, in upper or lower case, in the order of the names.
fn named<'a>(folders: &'a [PathBuf], names: &[&str]) -> Vec<&'a Path> {
    let is = |folder: &Path, name: &str| {
        let own = folder.file_name().and_then(|own| own.to_str());
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    names
        .iter()
        .flat_map(|name| folders.iter().filter(move |folder| is(folder, name)))
        .map(PathBuf::as_path)
        .collect()
}

/// Says which folders of images beside the training split are ignored.
fn beside_train(tree: &dyn Tree, folders: &[PathBuf], train: &Path) -> Result<Vec<String>, DataError> {
    let split_names = [&TRAIN_NAMES[..], &TEST_NAMES[..]].concat();
    let splits = named(folders, &split_names);
    let mut sentences = Vec::new();
    for folder in folders.iter().filter(|folder| !splits.contains(&folder.as_path())) {
        let inside = Listing::of(tree, folder)?;
        let has_images = inside.has_images() || folder_with_images(tree, &inside.folders).is_some();
        if has_images && !made::is_made(tree, folder, &inside.folders, inside.has_images())? {
            let (name, train) = (name_of(folder), name_of(train));
            sentences.push(format!("{name} is left out, as {train} beside it is the training split"));
        }
    }
    Ok(sentences)
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The split from train/ and test/. Without a folder for test images, some images of train/ are held out.
fn given_split(
    place: Place,
    train: Vec<ClassFolder>,
    tests: &[&Path],
    left_out: &mut LeftOut,
) -> Result<EncodedSet, DataError> {
    let (mut test, mut used) = (None, None);
    for folder in tests {
        test = class_folders(place.tree, &Listing::of(place.tree, folder)?.folders, left_out)?;
        if test.is_some() {
            used = Some(*folder);
            break;
        }
    }
    let unused = tests.iter().filter(|folder| used.is_some_and(|used| used != **folder));
    let unused: Vec<String> = unused
        .map(|folder| {
            format!(
                "{} is left out, as {} is the test split",
                name_of(folder),
                name_of(used.unwrap_or(folder))
            )
        })
        .collect();
    let test = match (test, tests.first()) {
        (Some(test), _) => test,
        (None, None) => return Ok(held_out_split(place, train)),
        (None, Some(folder)) => {
            return Err(DataError::malformed(
                folder,
                "this folder of test images holds no folders of images, one per class",
                "sort its images into such folders, or move it elsewhere to have about every \
                 tenth training image held out",
            ));
        }
    };
    let mut found = EncodedSet {
        place: place.dir.into(),
        classes: train.iter().map(|class| class.name.clone()).collect(),
        train: Vec::new(),
        test: Vec::new(),
        left_out: unused,
    };
    for class in train {
        add(place.tree, &mut found.train, &found.classes, class);
    }
    for class in test {
        if !found.classes.contains(&class.name) {
            return Err(DataError::malformed(
                &class.folder,
                "the training split has no class of this name",
                "add training images of this class, or remove or rename the folder",
            ));
        }
        add(place.tree, &mut found.test, &found.classes, class);
    }
    Ok(found)
}

fn add(tree: &dyn Tree, images: &mut Vec<EncodedImage>, classes: &[String], class: ClassFolder) {
    let label = classes.iter().position(|name| *name == class.name);
    let label = label.expect("the caller has looked") as u32;
    images.extend(class.files.into_iter().map(|path| EncodedImage {
        source: tree.source(&path),
        path,
        label,
    }));
}

fn held_out_split(place: Place, folders: Vec<ClassFolder>) -> EncodedSet {
    let classes: Vec<String> = folders.iter().map(|class| class.name.clone()).collect();
    let mut images = Vec::new();
    folders.into_iter().for_each(|class| add(place.tree, &mut images, &classes, class));
    EncodedSet::hold_out(place.dir, classes, images)
}
