//! Resizes images, and changes their channels, as a person asked.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::image_size::ImageSize;
use crate::options::FolderOptions;
use crate::parallel;
use crate::pixels::{Depth, PixelSlice, Pixels, Sample, either_depth};
use crate::raster::Raster;

/// The number of images that are resized at a time. Both sizes of these are in memory.
const AT_ONCE: usize = 1024;

/// # Errors
/// Channels other than 1 and 3.
pub(crate) fn check(options: &FolderOptions) -> Result<(), DataError> {
    options.channels.map_or(Ok(()), check_channels)
}

fn check_channels(channels: usize) -> Result<(), DataError> {
    match channels {
        1 | 3 => Ok(()),
        _ => Err(DataError::invalid(format!("channels is 1 (grey) or 3 (RGB), not {channels}"))),
    }
}

impl Raster {
    /// The largest middle part with the proportion of `size`, as an image of this size and of `channels`, as
    /// [`open()`](crate::open()) makes them with [`FolderOptions`].
    ///
    /// # Errors
    /// Channels other than 1 and 3.
    pub fn fitted(self, channels: usize, size: ImageSize) -> Result<Raster, DataError> {
        check_channels(channels)?;
        Ok(resized(self, Some(size)).with_channels(channels))
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
        height: options.image_size.map_or(old.height, ImageSize::height),
        width: options.image_size.map_or(old.width, ImageSize::width),
    };
    if new == old {
        return Ok(dataset);
    }
    let (depth, count) = (dataset.depth(), dataset.len());
    check_bytes(Path::new("the images"), &format!("at {new}"), bytes(new, depth, count), options.max_bytes)?;
    let indices: Vec<usize> = (0..count).collect();
    let mut pixels = reserve(new, depth, count)?;
    for indices in indices.chunks(AT_ONCE) {
        let rasters = parallel::map(indices, |&i| {
            let raster = from_planes(old, dataset.pixels(i));
            raster.map(|raster| resized(raster, options.image_size).with_channels(new.channels).planes())
        });
        for planes in rasters {
            pixels.append(planes?.as_slice());
        }
    }
    let classes: std::sync::Arc<[String]> = dataset.classes().into();
    Dataset::of_pixels(new, pixels, dataset.labels().to_vec(), classes)
}

/// The largest middle part of an image with the proportion of the size, of this size; without a size, the
/// image itself.
///
/// The filter is bilinear. For shrinking it is wider, so that no pixel is skipped.
pub(crate) fn resized(raster: Raster, size: Option<ImageSize>) -> Raster {
    let old = (raster.height(), raster.width());
    let Some(size) = size.filter(|size| (size.height(), size.width()) != old) else {
        return raster;
    };
    let channels = raster.channels();
    let pixels = either_depth!(raster.into_pixels(), values => match channels {
        1 => of_size::<Luma<_>>(values, old, size),
        _ => of_size::<Rgb<_>>(values, old, size),
    });
    Raster::new(channels, size.height(), size.width(), pixels).expect("as many pixels as the size says")
}

fn of_size<P: Pixel<Subpixel: Sample> + 'static>(
    values: Vec<P::Subpixel>,
    (height, width): (usize, usize),
    size: ImageSize,
) -> Vec<P::Subpixel> {
    let image = ImageBuffer::<P, _>::from_raw(width as u32, height as u32, values);
    let image = image.expect("an image has as many pixels as its sides say");
    let (rows, columns) = middle((height, width), size);
    let (top, left) = ((height - rows) / 2, (width - columns) / 2);
    let middle = imageops::crop_imm(&image, left as u32, top as u32, columns as u32, rows as u32);
    if (rows, columns) == (size.height(), size.width()) {
        return middle.to_image().into_raw();
    }
    imageops::resize(&*middle, size.width() as u32, size.height() as u32, FilterType::Triangle).into_raw()
}

/// The rows and columns of the largest part with the proportion of `size`: all of one side, and of the other
/// to the nearest pixel.
fn middle((height, width): (usize, usize), size: ImageSize) -> (usize, usize) {
    let part = |whole: usize, over: usize, under: usize| ((whole * over + under / 2) / under).max(1);
    match height * size.width() <= width * size.height() {
        true => (height, part(height, size.width(), size.height()).min(width)),
        false => (part(width, size.height(), size.width()).min(height), width),
    }
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

/// The bytes of `count` images; the largest number if there are more.
pub(crate) fn bytes(shape: Shape, depth: Depth, count: usize) -> u64 {
    let values = shape.checked_len().and_then(|len| len.checked_mul(count));
    values.and_then(|values| values.checked_mul(depth.bytes())).map_or(u64::MAX, |bytes| bytes as u64)
}

/// Memory for `count` images. The error says how much was needed.
pub(crate) fn reserve(shape: Shape, depth: Depth, count: usize) -> Result<Pixels, DataError> {
    let values = shape.checked_len().and_then(|len| len.checked_mul(count));
    values.and_then(|values| Pixels::reserved(depth, values)).ok_or_else(|| {
        DataError::invalid(format!(
            "there is no memory for {count} images of shape {shape}; choose a smaller size with --image-size N \
             (the image_size option)"
        ))
    })
}

/// Makes an image from (channels, height, width).
fn from_planes(shape: Shape, planes: PixelSlice) -> Result<Raster, DataError> {
    fn interleaved<T: Sample>(planes: &[T], channels: usize) -> Vec<T> {
        let area = planes.len() / channels;
        (0..area).flat_map(|i| (0..channels).map(move |c| planes[c * area + i])).collect()
    }
    let pixels: Pixels = match planes {
        PixelSlice::Eight(planes) => interleaved(planes, shape.channels).into(),
        PixelSlice::Sixteen(planes) => interleaved(planes, shape.channels).into(),
    };
    Raster::new(shape.channels, shape.height, shape.width, pixels)
}
