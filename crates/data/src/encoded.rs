//! Encoded images, in files of their own or in one that holds many, read to the splits of a data set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::{Dataset, Shape, Splits};
use crate::decode::{self, ImageHeader};
use crate::error::{BadFile, DataError, count};
use crate::options::FolderOptions;
use crate::pixels::Depth;
use crate::raster::Raster;
use crate::{fit, parallel};

/// One of this many images is held out.
const HELD_OUT: u64 = 10;

/// Most bad files that an error lists.
const MAX_LISTED: usize = 20;

/// The number of bytes of images that are unpacked at the same time. A larger image is unpacked alone.
const UNPACKED: u64 = 256 << 20;

/// An image that was found but not read yet.
pub(crate) struct EncodedImage {
    /// Its file. For an image inside another file, what messages call it, such as `set.zip/cat/1.png`.
    pub path: PathBuf,
    pub label: u32,
    pub source: Source,
}

/// Where the bytes of an image are.
pub(crate) enum Source {
    /// In the file of its path.
    File,
    /// In memory.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "for parquet"))]
    Memory(Vec<u8>),
    /// In a file that holds many: the image with this index, which is said to have so many bytes.
    Part { of: Arc<dyn Container>, index: usize, bytes: u64 },
}

/// A file that holds many images, of which any one can be read at any time.
pub(crate) trait Container: Send + Sync {
    /// All bytes of an image, read anew. The implementation takes no more memory than the bytes that are
    /// really there, and at most `most`. An error is what is wrong with the image, for people.
    fn read(&self, index: usize, most: u64) -> Result<Vec<u8>, String>;
}

impl EncodedImage {
    /// The memory that its bytes take while it is read.
    fn encoded_bytes(&self) -> u64 {
        match self.source {
            Source::Part { bytes, .. } => bytes,
            Source::File | Source::Memory(_) => 0,
        }
    }

    fn header(&self, max_pixels: u64, memory: &parallel::MemoryBudget) -> Result<ImageHeader, String> {
        match &self.source {
            Source::File => decode::header(&self.path, max_pixels),
            Source::Memory(bytes) => decode::header_of_bytes(&self.path, bytes, max_pixels),
            Source::Part { of, index, bytes } => memory.with(*bytes, || {
                let bytes = part(of.as_ref(), *index, *bytes)?;
                decode::header_of_bytes(&self.path, &bytes, max_pixels)
            }),
        }
    }

    /// Call [`EncodedImage::header`] first, because it refuses what is no image.
    fn raster(&self, max_pixels: u64) -> Result<Raster, String> {
        match &self.source {
            Source::File => decode::raster(&self.path, max_pixels),
            Source::Memory(bytes) => decode::from_bytes(bytes, max_pixels),
            Source::Part { of, index, bytes } => {
                decode::from_bytes(&part(of.as_ref(), *index, *bytes)?, max_pixels)
            }
        }
    }
}

/// The bytes of an image, if it has as many as it is said to have. Nothing is read of one that is too long.
fn part(of: &dyn Container, index: usize, said: u64) -> Result<Vec<u8>, String> {
    decode::check_length(said)?;
    let bytes = of.read(index, said)?;
    match bytes.len() as u64 == said {
        true => Ok(bytes),
        false => Err(format!("{} bytes, and it is said to have {said}", bytes.len())),
    }
}

/// The images of a data set by split, found but not read yet. Each split has an order of its own to keep.
pub(crate) struct EncodedSet {
    /// The folder or file of the set, for messages.
    pub place: PathBuf,
    /// The class of each label.
    pub classes: Vec<String>,
    pub train: Vec<EncodedImage>,
    pub test: Vec<EncodedImage>,
    /// What was left out, one sentence for each kind.
    pub left_out: Vec<String>,
}

impl EncodedSet {
    /// A set of these images without a test split of their own: about one in ten of a class is held out, by a
    /// hash of `class/file name`. Neither the place of the set nor further images change the split of an image.
    ///
    /// Of a class of two images or more, at least one is held out and at least one is not.
    pub(crate) fn hold_out(place: &Path, classes: Vec<String>, images: Vec<EncodedImage>) -> Self {
        let held_out = held_out(&classes, &images);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (image, held_out) in images.into_iter().zip(held_out) {
            if held_out { &mut test } else { &mut train }.push(image);
        }
        Self { place: place.into(), classes, train, test, left_out: Vec::new() }
    }

    /// Reads all images.
    ///
    /// Headers come first: sizes are compared, and the memory of all is checked, before anything large is in it.
    ///
    /// # Errors
    /// [`DataError::BadFiles`] with every image that cannot be used; [`DataError::SizesDiffer`]; more bytes than
    /// a set may have; no image at all.
    pub(crate) fn read(self, name: &str, options: &FolderOptions) -> Result<Splits, DataError> {
        let images: Vec<&EncodedImage> = self.train.iter().chain(&self.test).collect();
        let memory = parallel::MemoryBudget::new(UNPACKED);
        let headers =
            parallel::map(&images, |image| image.header(options.max_pixels, &memory).map_err(with_limit));
        let differ = first_difference(&images, &headers).filter(|_| options.image_size.is_none());
        let keep = differ.is_none() && headers.iter().all(Result::is_ok);
        if keep {
            check_memory(&self.place, &headers, options)?;
        }
        let indices: Vec<usize> = (0..images.len()).collect();
        let rasters = parallel::map(&indices, |&i| {
            let header = headers[i].clone()?;
            memory.with(header.bytes.saturating_add(images[i].encoded_bytes()), || {
                let raster = images[i].raster(options.max_pixels)?;
                let raster = keep.then(|| fit::resized(raster, options.image_size));
                Ok(raster.map(|raster| match options.channels {
                    Some(1) => raster.with_channels(1),
                    _ => raster,
                }))
            })
        });
        let bad = bad_files(&images, &rasters);
        if !bad.is_empty() {
            let unlisted = bad.len().saturating_sub(MAX_LISTED);
            return Err(DataError::BadFiles {
                dir: self.place,
                listed: bad.into_iter().take(MAX_LISTED).collect(),
                unlisted,
            });
        }
        match differ {
            Some(differ) => Err(differ),
            None => self.splits(name, options, rasters.into_iter().flatten().flatten().collect()),
        }
    }

    /// The splits of these images, those of training first. One of 16 bits makes all of them so.
    fn splits(
        self,
        name: &str,
        options: &FolderOptions,
        mut rasters: Vec<Raster>,
    ) -> Result<Splits, DataError> {
        let Some(first) = rasters.first() else {
            return Err(DataError::malformed(&self.place, "there is no image", "add images of each class"));
        };
        let grey = rasters.iter().all(|raster| raster.channels() == 1);
        let depth = rasters.iter().map(|raster| raster.pixels().depth()).max().unwrap_or(Depth::Eight);
        let shape = Shape {
            channels: options.channels.unwrap_or(if grey { 1 } else { 3 }),
            height: first.height(),
            width: first.width(),
        };
        let test_rasters = rasters.split_off(self.train.len());
        let classes: Arc<[String]> = self.classes.into();
        Ok(Splits {
            name: name.into(),
            train: gather((shape, depth), rasters, &self.train, &classes)?,
            test: gather((shape, depth), test_rasters, &self.test, &classes)?,
            left_out: self.left_out,
        })
    }
}

/// Which images are held out, as [`EncodedSet::hold_out`] says.
fn held_out(classes: &[String], images: &[EncodedImage]) -> Vec<bool> {
    let hash = |image: &EncodedImage| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(classes[image.label as usize].as_bytes());
        hasher.update(b"/");
        hasher.update(image.path.file_name().unwrap_or_default().as_encoded_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    };
    let hashes: Vec<u64> = images.iter().map(hash).collect();
    let mut chosen: Vec<bool> = hashes.iter().map(|hash| hash % HELD_OUT == 0).collect();
    let mut of_class = vec![Vec::new(); classes.len()];
    images.iter().enumerate().for_each(|(i, image)| of_class[image.label as usize].push(i));
    for of_class in of_class {
        if let [only] = of_class[..] {
            chosen[only] = false;
        }
        let by_hash = |&i: &usize| hashes[i];
        let (smallest, largest) =
            (of_class.iter().copied().min_by_key(by_hash), of_class.iter().copied().max_by_key(by_hash));
        if let (Some(smallest), Some(largest)) = (smallest, largest.filter(|_| of_class.len() > 1)) {
            if of_class.iter().all(|&i| !chosen[i]) {
                chosen[smallest] = true;
            }
            if of_class.iter().all(|&i| chosen[i]) {
                chosen[largest] = false;
            }
        }
    }
    chosen
}

/// The first image, in the order of the paths, whose size differs from the first image's.
fn first_difference(images: &[&EncodedImage], headers: &[Result<ImageHeader, String>]) -> Option<DataError> {
    let mut sized: Vec<(&Path, (u32, u32))> = images
        .iter()
        .zip(headers)
        .filter_map(|(image, header)| Some((image.path.as_path(), header.as_ref().ok()?.size)))
        .collect();
    sized.sort();
    let &(first, first_size) = sized.first()?;
    let &(second, second_size) = sized.iter().find(|(_, size)| *size != first_size)?;
    Some(DataError::SizesDiffer { first: first.into(), first_size, second: second.into(), second_size })
}

/// Checks that all images may be in memory, before any is unpacked.
fn check_memory(
    place: &Path,
    headers: &[Result<ImageHeader, String>],
    options: &FolderOptions,
) -> Result<(), DataError> {
    let headers: Vec<&ImageHeader> = headers.iter().flatten().collect();
    let Some(first) = headers.first() else { return Ok(()) };
    let own = (first.size.1 as usize, first.size.0 as usize);
    let (height, width) = options.image_size.map_or(own, |size| (size.height(), size.width()));
    let has_colour = headers.iter().any(|header| header.has_colour);
    let channels = options.channels.unwrap_or(if has_colour { 3 } else { 1 });
    let depth = headers.iter().map(|header| header.depth).max().unwrap_or(Depth::Eight);
    let shape = Shape { channels, height, width };
    let images = headers.len();
    let bytes = fit::bytes(shape, depth, images);
    fit::check_bytes(place, &format!("{} of {shape}", count(images, "image")), bytes, options.max_bytes)?;
    fit::reserve(shape, depth, images).map(drop)
}

/// Adds how to raise the limit, if the reason is the limit.
fn with_limit(reason: String) -> String {
    match reason.ends_with(decode::MOST_OF_A_FILE) {
        true => reason + ", a limit that --max-megapixels N (the max_pixels option) raises",
        false => reason,
    }
}

fn bad_files<T>(images: &[&EncodedImage], results: &[Result<T, String>]) -> Vec<BadFile> {
    let mut bad: Vec<BadFile> = images
        .iter()
        .zip(results)
        .filter_map(|(image, result)| {
            Some(BadFile { path: image.path.clone(), reason: result.as_ref().err()?.clone() })
        })
        .collect();
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    bad
}

fn gather(
    (shape, depth): (Shape, Depth),
    rasters: Vec<Raster>,
    images: &[EncodedImage],
    classes: &Arc<[String]>,
) -> Result<Dataset, DataError> {
    let mut pixels = fit::reserve(shape, depth, rasters.len())?;
    for raster in rasters {
        pixels.append(raster.with_channels(shape.channels).planes().as_slice());
    }
    let labels = images.iter().map(|image| image.label).collect();
    Dataset::of_pixels(shape, pixels, labels, classes.clone())
}
