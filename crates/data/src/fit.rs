//! Resizes images, and changes their channels, as a person asked.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, Pixel, RgbImage};

use crate::dataset::{Dataset, Shape, Splits};
use crate::decode::MAX_SIDE;
use crate::error::DataError;
use crate::options::FolderOptions;
use crate::parallel;
use crate::picture::{Picture, append_planes};

/// The number of images that are resized at a time. Both sizes of these are in memory.
const AT_ONCE: usize = 1024;

/// # Errors
/// A size of 0 or above the largest side; channels other than 1 and 3.
pub(crate) fn check(options: &FolderOptions) -> Result<(), DataError> {
    match (options.image_size, options.channels) {
        (Some(size), _) if size == 0 || size > MAX_SIDE as usize => {
            Err(DataError::invalid(format!("the image size is 1 to {MAX_SIDE}, not {size}")))
        }
        (_, Some(channels)) if channels != 1 && channels != 3 => {
            Err(DataError::invalid(format!("channels is 1 (grey) or 3 (RGB), not {channels}")))
        }
        _ => Ok(()),
    }
}

impl Picture {
    /// The middle square of the picture as `size` x `size` pixels of `channels`, as
    /// [`open()`](crate::open()) makes them with [`FolderOptions`].
    ///
    /// # Errors
    /// Channels other than 1 and 3; a size of 0 or above 16384.
    pub fn fitted(self, channels: usize, size: usize) -> Result<Picture, DataError> {
        let (image_size, channels_wanted) = (Some(size), Some(channels));
        check(&FolderOptions { image_size, channels: channels_wanted, ..FolderOptions::default() })?;
        Ok(picture_of(self, Some(size)).with_channels(channels))
    }
}

/// Both splits with the requested size and channels; unchanged if nothing was requested.
pub(crate) fn splits(splits: Splits, options: &FolderOptions) -> Result<Splits, DataError> {
    Ok(Splits { train: dataset(splits.train, options)?, test: dataset(splits.test, options)?, ..splits })
}

fn dataset(dataset: Dataset, options: &FolderOptions) -> Result<Dataset, DataError> {
    let old = dataset.shape();
    let new = Shape {
        channels: options.channels.unwrap_or(old.channels),
        height: options.image_size.unwrap_or(old.height),
        width: options.image_size.unwrap_or(old.width),
    };
    if new == old {
        return Ok(dataset);
    }
    let bytes = new.checked_len().and_then(|len| len.checked_mul(dataset.len())).unwrap_or(usize::MAX);
    check_bytes(Path::new("the images"), &format!("at {new}"), bytes as u64, options.max_bytes)?;
    let indices: Vec<usize> = (0..dataset.len()).collect();
    let mut pixels = reserve(new, dataset.len())?;
    for indices in indices.chunks(AT_ONCE) {
        let pictures = parallel::map(indices, |&i| {
            let picture = from_planes(old, dataset.pixels(i));
            picture.map(|p| picture_of(p, options.image_size).with_channels(new.channels))
        });
        for picture in pictures {
            append_planes(&picture?, &mut pixels);
        }
    }
    let classes: std::sync::Arc<[String]> = dataset.classes().into();
    Dataset::new(new, pixels, dataset.labels().to_vec(), classes)
}

/// The middle square of a picture as `size` x `size` pixels; without a size, the picture itself.
///
/// The filter is bilinear. For shrinking it is wider, so that no pixel is skipped.
pub(crate) fn picture_of(picture: Picture, size: Option<usize>) -> Picture {
    let Some(size) = size else {
        return picture;
    };
    if (picture.height, picture.width) == (size, size) {
        return picture;
    }
    let (width, height) = (picture.width as u32, picture.height as u32);
    let pixels = if picture.channels == 1 {
        GrayImage::from_raw(width, height, picture.pixels).map(|p| square(&p, size as u32))
    } else {
        RgbImage::from_raw(width, height, picture.pixels).map(|p| square(&p, size as u32))
    };
    Picture {
        channels: picture.channels,
        height: size,
        width: size,
        pixels: pixels.expect("a picture has as many pixels as its sides say"),
    }
}

fn square<P: Pixel<Subpixel = u8> + 'static>(image: &ImageBuffer<P, Vec<u8>>, size: u32) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let side = width.min(height);
    let middle = imageops::crop_imm(image, (width - side) / 2, (height - side) / 2, side, side);
    if side == size {
        return middle.to_image().into_raw();
    }
    imageops::resize(&*middle, size, size, FilterType::Triangle).into_raw()
}

/// # Errors
/// More bytes than a data set may have. `claim` says what needs them.
pub(crate) fn check_bytes(path: &Path, claim: &str, bytes: u64, most: u64) -> Result<(), DataError> {
    match bytes > most {
        true => Err(DataError::malformed(
            path,
            format!("{claim}, {bytes} bytes, and {most} are read of a data set"),
            "use fewer or smaller images, or raise the limit with --max-gigabytes N (the max_bytes option)",
        )),
        false => Ok(()),
    }
}

/// Memory for `count` images. The error says how much was needed.
pub(crate) fn reserve(shape: Shape, count: usize) -> Result<Vec<u8>, DataError> {
    let bytes = shape.checked_len().and_then(|len| len.checked_mul(count));
    let mut pixels = Vec::new();
    match bytes.map(|bytes| pixels.try_reserve_exact(bytes)) {
        Some(Ok(())) => Ok(pixels),
        _ => Err(DataError::invalid(format!(
            "there is no memory for {count} images of shape {shape}; choose a smaller size with \
             --image-size N (the image_size option)"
        ))),
    }
}

/// Makes a picture from (channels, height, width).
fn from_planes(shape: Shape, planes: &[u8]) -> Result<Picture, DataError> {
    let area = shape.height * shape.width;
    let pixels = (0..area).flat_map(|i| (0..shape.channels).map(move |c| planes[c * area + i])).collect();
    Picture::new(shape.channels, shape.height, shape.width, pixels)
}
