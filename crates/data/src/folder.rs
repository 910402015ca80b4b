//! One folder of images per class.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::BadFile;
use crate::open::{Listing, entries, file_name_bytes};
use crate::{DataError, Dataset, FolderOptions, Picture, Shape, Splits, decode, fit, parallel};

/// One image in this many is held out.
const HELD_OUT: u64 = 10;

/// Most bad files that an error lists.
const MAX_LISTED: usize = 20;

/// Names of the folder that is the training split.
const TRAIN_NAMES: [&str; 2] = ["train", "training"];

/// Names of the folder that is the test split beside it; the first that holds classes is.
const TEST_NAMES: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// Images by class, found but not read.
#[derive(Debug)]
pub(crate) struct Found {
    dir: PathBuf,
    classes: Vec<String>,
    train: Vec<ImageFile>,
    test: Vec<ImageFile>,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    label: u32,
}

/// The images of `dir`, whose visible subfolders are `folders`. `None` if none of these holds one.
///
/// # Errors
/// A folder that cannot be listed, an empty class, class names that differ by case alone or are
/// not UTF-8, a class in the test split that the training split lacks.
pub(crate) fn find(dir: &Path, folders: &[PathBuf]) -> Result<Option<Found>, DataError> {
    for train in named(folders, &TRAIN_NAMES) {
        // A class may be named train: then it holds images and not folders.
        let inside = Listing::of(train)?;
        if inside.has_images() {
            continue;
        }
        if let Some(classes) = class_folders(&inside.folders)? {
            return given_split(dir, classes, &named(folders, &TEST_NAMES)).map(Some);
        }
    }
    match class_folders(folders)? {
        Some(classes) => held_out_split(dir, classes).map(Some),
        None => Ok(None),
    }
}

/// A class's name, folder and image files.
struct Class {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
}

/// The classes that these folders are, in byte order. `None` if no folder holds an image.
fn class_folders(folders: &[PathBuf]) -> Result<Option<Vec<Class>>, DataError> {
    let mut classes = Vec::new();
    for folder in folders {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            return Err(DataError::malformed(
                folder,
                "the name of this class folder is not UTF-8",
                "rename it",
            ));
        };
        let files = entries(folder)?
            .into_iter()
            .filter(|path| decode::is_image_name(path) && !path.is_dir())
            .collect();
        classes.push(Class { name: name.into(), folder: folder.clone(), files });
    }
    if classes.iter().all(|class| class.files.is_empty()) {
        return Ok(None);
    }
    if let Some(empty) = classes.iter().find(|class| class.files.is_empty()) {
        return Err(DataError::malformed(
            &empty.folder,
            "this class folder holds no PNG or JPEG image",
            "put images directly into it, or remove it",
        ));
    }
    let mut seen = HashMap::new();
    for class in &classes {
        if let Some(other) = seen.insert(class.name.to_lowercase(), &class.name) {
            return Err(DataError::malformed(
                &class.folder,
                format!("this class name differs from {other} by case alone"),
                "rename one of the two folders, or merge them",
            ));
        }
    }
    Ok(Some(classes))
}

/// The folders with one of these names, whatever their case, in the order of the names.
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

/// The split that train/ and test/ make; with no folder for test images some of train's are held
/// out.
fn given_split(dir: &Path, train: Vec<Class>, tests: &[&Path]) -> Result<Found, DataError> {
    let mut test = None;
    for folder in tests {
        test = class_folders(&Listing::of(folder)?.folders)?;
        if test.is_some() {
            break;
        }
    }
    let test = match (test, tests.first()) {
        (Some(test), _) => test,
        (None, None) => return held_out_split(dir, train),
        (None, Some(folder)) => {
            return Err(DataError::malformed(
                folder,
                "this folder of test images holds no folders of images, one per class",
                "sort its images into such folders, or move it elsewhere to have about every \
                 tenth training image held out",
            ));
        }
    };
    let mut found = Found {
        dir: dir.into(),
        classes: train.iter().map(|class| class.name.clone()).collect(),
        train: Vec::new(),
        test: Vec::new(),
    };
    for class in train {
        add(&mut found.train, &found.classes, class);
    }
    for class in test {
        if !found.classes.contains(&class.name) {
            return Err(DataError::malformed(
                &class.folder,
                "the training split has no class of this name",
                "add training images of this class, or remove or rename the folder",
            ));
        }
        add(&mut found.test, &found.classes, class);
    }
    Ok(found)
}

fn add(files: &mut Vec<ImageFile>, classes: &[String], class: Class) {
    let label = classes.iter().position(|name| *name == class.name);
    let label = label.expect("the caller has looked") as u32;
    files.extend(class.files.into_iter().map(|path| ImageFile { path, label }));
}

fn held_out_split(dir: &Path, classes: Vec<Class>) -> Result<Found, DataError> {
    let mut found = Found {
        dir: dir.into(),
        classes: classes.iter().map(|class| class.name.clone()).collect(),
        train: Vec::new(),
        test: Vec::new(),
    };
    for (label, class) in classes.into_iter().enumerate() {
        let held_out = held_out(&class);
        for (path, held_out) in class.files.into_iter().zip(held_out) {
            let split = if held_out { &mut found.test } else { &mut found.train };
            split.push(ImageFile { path, label: label as u32 });
        }
    }
    Ok(found)
}

/// Which files of a class are held out: one in ten by a hash of `class/file`, so that neither
/// the place of the folder nor a further image changes where an image belongs.
///
/// Of two files or more at least one is held out and at least one is not.
fn held_out(class: &Class) -> Vec<bool> {
    let hashes: Vec<u64> = class
        .files
        .iter()
        .map(|path| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(class.name.as_bytes());
            hasher.update(b"/");
            hasher.update(file_name_bytes(path));
            let hash = hasher.finalize();
            let mut first = [0; 8];
            first.copy_from_slice(&hash.as_bytes()[..8]);
            u64::from_le_bytes(first)
        })
        .collect();
    let mut chosen: Vec<bool> = hashes.iter().map(|h| h % HELD_OUT == 0).collect();
    if hashes.len() >= 2 {
        let by_hash = |&i: &usize| hashes[i];
        if !chosen.contains(&true)
            && let Some(smallest) = (0..hashes.len()).min_by_key(by_hash)
        {
            chosen[smallest] = true;
        }
        if !chosen.contains(&false)
            && let Some(largest) = (0..hashes.len()).max_by_key(by_hash)
        {
            chosen[largest] = false;
        }
    } else {
        chosen.fill(false);
    }
    chosen
}

impl Found {
    /// Reads all images.
    ///
    /// # Errors
    /// [`DataError::BadFiles`] with every file that is no good, or [`DataError::SizesDiffer`].
    pub(crate) fn read(self, name: &str, options: &FolderOptions) -> Result<Splits, DataError> {
        let files: Vec<&ImageFile> = self.train.iter().chain(&self.test).collect();

        // Headers first: whether sizes agree is known before anything large is in memory.
        let sizes = parallel::map(&files, |file| decode::size(&file.path));
        let differ = first_difference(&files, &sizes).filter(|_| options.image_size.is_none());
        let keep = differ.is_none() && sizes.iter().all(Result::is_ok);

        if keep {
            check_memory(&sizes, options)?;
        }
        let indices: Vec<usize> = (0..files.len()).collect();
        let pictures = parallel::map(&indices, |&i| {
            sizes[i].clone()?;
            let picture = decode::picture(&files[i].path)?;
            Ok(keep.then(|| fit::picture_of(picture, options.image_size)))
        });
        let bad = bad_files(&files, &pictures);
        if !bad.is_empty() {
            let unlisted = bad.len().saturating_sub(MAX_LISTED);
            return Err(DataError::BadFiles {
                dir: self.dir,
                listed: bad.into_iter().take(MAX_LISTED).collect(),
                unlisted,
            });
        }
        if let Some(differ) = differ {
            return Err(differ);
        }
        let mut pictures: Vec<Picture> = pictures.into_iter().flatten().flatten().collect();
        let grey = pictures.iter().all(|picture| picture.channels == 1);
        let shape = Shape {
            channels: options.channels.unwrap_or(if grey { 1 } else { 3 }),
            height: pictures[0].height,
            width: pictures[0].width,
        };
        let test_pictures = pictures.split_off(self.train.len());
        let classes: Arc<[String]> = self.classes.into();
        Ok(Splits {
            name: name.into(),
            train: gather(shape, pictures, &self.train, &classes)?,
            test: gather(shape, test_pictures, &self.test, &classes)?,
        })
    }
}

/// The first file whose size is not the first file's, in the order of the paths.
fn first_difference(files: &[&ImageFile], sizes: &[Result<(u32, u32), String>]) -> Option<DataError> {
    let mut sized: Vec<(&Path, (u32, u32))> = files
        .iter()
        .zip(sizes)
        .filter_map(|(file, size)| Some((file.path.as_path(), *size.as_ref().ok()?)))
        .collect();
    sized.sort();
    let &(first, first_size) = sized.first()?;
    let &(second, second_size) = sized.iter().find(|(_, size)| *size != first_size)?;
    Some(DataError::SizesDiffer { first: first.into(), first_size, second: second.into(), second_size })
}

/// Whether there is room for all images at the first one's size, before any is unpacked.
fn check_memory(sizes: &[Result<(u32, u32), String>], options: &FolderOptions) -> Result<(), DataError> {
    if let (Some(Ok((width, height))), None) = (sizes.first(), options.image_size) {
        let shape = Shape {
            channels: options.channels.unwrap_or(1),
            height: *height as usize,
            width: *width as usize,
        };
        fit::reserve(shape, sizes.len())?;
    }
    Ok(())
}

fn bad_files<T>(files: &[&ImageFile], results: &[Result<T, String>]) -> Vec<BadFile> {
    let mut bad: Vec<BadFile> = files
        .iter()
        .zip(results)
        .filter_map(|(file, result)| {
            Some(BadFile { path: file.path.clone(), reason: result.as_ref().err()?.clone() })
        })
        .collect();
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    bad
}

fn gather(
    shape: Shape,
    pictures: Vec<Picture>,
    files: &[ImageFile],
    classes: &Arc<[String]>,
) -> Result<Dataset, DataError> {
    let mut pixels = fit::reserve(shape, pictures.len())?;
    for picture in pictures {
        fit::append_planes(&picture.with_channels(shape.channels), &mut pixels);
    }
    let labels = files.iter().map(|file| file.label).collect();
    Dataset::new(shape, pixels, labels, classes.clone())
}
