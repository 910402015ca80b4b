//! Archives, zip and tar, of what a folder may hold, and shards of webdataset.

use std::path::{Path, PathBuf};

use crate::archive::{self, Archive};
use crate::classes;
use crate::dataset::Splits;
use crate::decode;
use crate::encoded::EncodedSet;
use crate::error::{DataError, count, shown};
use crate::fit;
use crate::format::{Format, Found, Location, Tried};
use crate::formats::folder::Place;
use crate::formats::shards::split_of;
use crate::formats::split::Split;
use crate::formats::{edm, folder, shards};
use crate::listing::Listing;
use crate::options::FolderOptions;
use crate::tree::{Disk, Tree};

/// Folders that hold nothing but one folder, which are looked into.
const WRAPPED: usize = 8;

/// Archives that a sentence names.
const SHOWN: usize = 8;

/// One archive that is named or alone, or the shards of a folder.
pub(super) const FORMAT: Format = Format {
    holds: "an archive, x.zip, x.tar or x.tar.gz, of such folders of images per class, of images called cat_017.png, \
            or of images with EDM's dataset.json; or webdataset's shards, one or more tar archives of x.png and x.cls",
    tried: Tried::Otherwise,
    subfolders: &[],
    may_have_two_labels: false,
    is_file_of_set: archive::is_name,
    find: |place| {
        let files = Files::find(place)?;
        let dir = place.dir.to_path_buf();
        Ok((!files.shards.is_empty())
            .then(|| -> Found { Box::new(move |name, options| files.read(&dir, name, options)) }))
    },
};

/// The archives of a set, found but not opened yet.
struct Files {
    /// The one that was named, the only one of a folder, or shards with their splits.
    shards: Vec<(Split, PathBuf)>,
    left_out: Vec<String>,
    /// What to do if the one that was named is a shard.
    hint: Option<String>,
}

impl Files {
    fn find(place: &Location) -> Result<Self, DataError> {
        if let Some(chosen) = place.chosen {
            let is_other = |name: &&String| archive::is_tar_name(name) && *name != chosen;
            let others = place.listing.files.iter().filter(is_other).count();
            let hint = (others > 0 && archive::is_tar_name(chosen)).then(|| {
                let (chosen, others) = (shown(Path::new(chosen)), count(others, "tar archive"));
                format!(
                    "{chosen} alone is read; name its folder to read it with the {others} beside it as shards"
                )
            });
            let shards = vec![(Split::Train, place.dir.join(chosen))];
            return Ok(Self { shards, left_out: Vec::new(), hint });
        }
        let names: Vec<&String> = place.listing.archives().collect();
        let mut files = Self { shards: Vec::new(), left_out: Vec::new(), hint: None };
        if names.is_empty() && !place.listing.has_images() {
            files.shards = shards_in_folders(&place.listing.folders)?;
        } else if place.listing.folders.is_empty() && !place.listing.has_images() {
            files.add(place.dir, &names)?;
        }
        Ok(files)
    }

    /// The archives of these names: one, or shards.
    fn add(&mut self, dir: &Path, names: &[&String]) -> Result<(), DataError> {
        if let [only] = names {
            self.shards.push((Split::Train, dir.join(only)));
            return Ok(());
        }
        if !names.iter().all(|name| archive::is_tar_name(name)) {
            let named =
                names.iter().map(|name| shown(Path::new(name))).take(SHOWN).collect::<Vec<_>>().join(", ");
            let cause =
                format!("{} are in this folder, and one is read: {named}", count(names.len(), "archive"));
            return Err(DataError::malformed(dir, cause, "name the archive itself"));
        }
        // Where some say that they are to train on, those that say nothing are something else.
        let has_train = names.iter().any(|name| split_of(name) == Some(Split::Train));
        for name in names {
            match split_of(name) {
                Some(split) => self.shards.push((split, dir.join(name))),
                None if !has_train => self.shards.push((Split::Train, dir.join(name))),
                None => self
                    .left_out
                    .push(format!("{} is left out: its name says no split", shown(Path::new(name)))),
            }
        }
        Ok(())
    }

    fn read(self, dir: &Path, name: &str, options: &FolderOptions) -> Result<Splits, DataError> {
        let [(_, only)] = &self.shards[..] else {
            let (mut shards, mut left) = (Vec::new(), options.max_bytes);
            for (split, path) in self.shards {
                let shard = Archive::open(&path, left)?;
                left -= shard.members.held;
                shards.push((split, shard));
            }
            let mut set = shards::find((dir, name), &shards, classes::list_in(&Disk, dir)?)?;
            set.left_out.extend(self.left_out);
            return set.read(name, options);
        };
        let file_name = only.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = archive::stem(&file_name);
        let archive = Archive::open(only, options.max_bytes)?;
        let hint = self.hint.filter(|_| shards::is_one(&archive));
        let mut set = set_of(archive, name, classes::list_in(&Disk, dir)?)?;
        set.left_out.extend(self.left_out.into_iter().chain(hint));
        set.read(name, options)
    }
}

/// Shards in the folders of their splits: `train/0000.tar`, `val/0000.tar`.
fn shards_in_folders(folders: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>, DataError> {
    let mut shards = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(split) = split_of(&name).filter(|_| folder::is_split_name(&name)) else { continue };
        let inside = Listing::of(&Disk, folder)?;
        if inside.folders.is_empty() && !inside.has_images() {
            let names = inside.files.iter().filter(|name| archive::is_tar_name(name));
            shards.extend(names.map(|name| (split, folder.join(name))));
        }
    }
    Ok(shards)
}

/// As [`FORMAT`] reads it, from bytes in memory.
pub(crate) fn read_bytes(bytes: &[u8], options: &FolderOptions) -> Result<Splits, DataError> {
    fit::check(options)?;
    let archive = Archive::of_bytes(Path::new("archive"), bytes, options.max_bytes)?;
    set_of(archive, "archive", ("classes.txt".into(), None))?.read("archive", options)
}

/// What one archive holds. The list of class names is the one beside it.
fn set_of(archive: Archive, name: &str, list: classes::List) -> Result<EncodedSet, DataError> {
    if shards::is_one(&archive) {
        let place = archive.path.clone();
        return shards::find((&place, name), &[(Split::Train, archive)], list);
    }
    let mut dir = archive.path.clone();
    for _ in 0..WRAPPED {
        match only_folder(&archive, &dir)? {
            Some(inside) => dir = inside,
            None => break,
        }
    }
    let place = Place { tree: &archive, dir: &dir };
    let mut set = if let Some(labels) = edm::Labels::find(place)? {
        let inside = classes::list_in(&archive, &dir)?;
        labels.set(place, if inside.1.is_some() { inside } else { list }, name)?
    } else if let Some(mut set) = folder::find(place, &Listing::of(&archive, &dir)?)? {
        set.left_out.insert(0, format!("{} is read as a folder of images by class", shown(&dir)));
        set
    } else {
        return Err(nothing(&archive));
    };
    set.left_out.extend(inner_archives(&archive));
    set.left_out.extend(archive.members.left_out.iter().cloned());
    Ok(set)
}

/// The folder that wraps all that an archive holds, or all that such a folder holds.
///
/// A class alone is none: it holds images, whose names make no classes.
fn only_folder(archive: &Archive, dir: &Path) -> Result<Option<PathBuf>, DataError> {
    let listing = Listing::of(archive, dir)?;
    let [folder] = &listing.folders[..] else { return Ok(None) };
    let is_split = folder::is_split_name(&folder.file_name().unwrap_or_default().to_string_lossy());
    if listing.has_images() || archive.is_file(&dir.join("dataset.json")) || is_split {
        return Ok(None);
    }
    let inside = Listing::of(archive, folder)?;
    let is_class = inside.has_images()
        && !archive.is_file(&folder.join("dataset.json"))
        && folder::find(Place { tree: archive, dir: folder }, &inside)?.is_none();
    Ok((!is_class).then(|| folder.clone()))
}

/// A sentence about archives in an archive of images.
fn inner_archives(archive: &Archive) -> Option<String> {
    let mut inner = archive.names().filter(|name| archive::is_name(name));
    let first = inner.next()?;
    let number = count(1 + inner.count(), "archive");
    Some(format!("{number} inside {} are left out: {}", shown(&archive.path), shown(Path::new(first))))
}

/// Says what an archive without images of classes holds.
fn nothing(archive: &Archive) -> DataError {
    let names = || archive.names();
    let with = |endings: &[&str]| {
        names()
            .find(|name| endings.iter().any(|ending| name.to_lowercase().ends_with(ending)))
            .map(|name| shown(Path::new(name)))
    };
    let (cause, fix) = if names().next().is_none() {
        ("the archive is empty".into(), "make it again".into())
    } else if let Some(inner) = names().find(|name| archive::is_name(name)) {
        let inner = shown(Path::new(inner));
        (
            format!("this archive holds another, {inner}, and no images"),
            format!("unpack it, and name {inner}"),
        )
    } else if let Some(table) = with(&[".csv", ".npy", ".npz", ".parquet", ".bin", "-ubyte", ".gz"]) {
        (
            format!("this archive holds {table}, which is not read inside one"),
            "unpack it, and name the folder".into(),
        )
    } else if names().any(|name| decode::is_image_name(Path::new(name))) {
        let cause = "there are images, but neither in one folder per class nor with a dataset.json nor with labels as x.cls";
        (cause.into(), "sort the images into a folder for each class, and make the archive again".into())
    } else {
        let cause = format!("no image is among {}", count(names().count(), "file"));
        (cause, "name an archive of one folder of images per class".into())
    };
    DataError::malformed(&archive.path, cause, fix)
}
