//! From candle's f32 tensors back to the bytes that they were made of.

use candle_core::{DType, Tensor};
use candle_datasets::vision::Dataset;

use crate::error::HubError;
use crate::set::PublicSet;
use crate::set_file::CIFAR_TRAIN;

/// In which order a tensor of candle-datasets holds an image's pixels.
///
/// `load_dir` gives images row by row. So does `load`, the download, for MNIST and Fashion-MNIST.
/// CIFAR-10's `load` does not: in candle-datasets 0.11.1 it decodes each image to (row, column,
/// channel) bytes and reorders them by `permute((0, 3, 2, 1))`, which is (channel, column, row):
/// every image is mirrored at its diagonal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelOrder {
    /// (n, channels, rows, columns), or (n, rows * columns): as it should be.
    ByRow,
    /// (n, channels, columns, rows): turned back by [`convert`].
    ByColumn,
}

impl PixelOrder {
    /// The order that candle-datasets' `load` of this set gives its images in.
    pub fn of_download(set: PublicSet) -> Self {
        match set {
            PublicSet::Mnist | PublicSet::FashionMnist => PixelOrder::ByRow,
            PublicSet::Cifar10 => PixelOrder::ByColumn,
        }
    }
}

/// One part of a set: `labels.len()` images, and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// (n, channels, rows, columns).
    pub pixels: Vec<u8>,
    /// (n), each below 10.
    pub labels: Vec<u8>,
}

/// A set as bytes, checked: what [`ImageSet::write`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    set: PublicSet,
    train: LabelledImages,
    test: LabelledImages,
}

/// The bytes behind the tensors of candle-datasets: `round(255 v)`, and v must be `p / 255` for a
/// byte p up to f32's rounding.
///
/// Images are f32, (n, channels, rows, columns) in the order that `order` says or (n, all of it);
/// labels are u8, (n).
///
/// # Errors
/// [`HubError::Data`] for another shape or dtype, for images and labels that differ in number,
/// for too few of them to make the set's files, for a label above 9, and for a pixel that is not
/// a byte over 255, NaN among them. The numbers of images are those of
/// [`PublicSet::published_counts`] only after [`ImageSet::check_counts`].
pub fn convert(set: PublicSet, order: PixelOrder, dataset: &Dataset) -> Result<ImageSet, HubError> {
    let classes = set.classes().len();
    if dataset.labels != classes {
        return Err(HubError::data(set, format!("{} classes where there are {classes}", dataset.labels)));
    }
    let part = |name, images, labels, at_least| {
        Part { set, name, order }
            .convert(images, labels, at_least)
            .map_err(|cause| HubError::data(set, cause))
    };
    // CIFAR-10's training images go into five files, none of which is to be empty.
    let at_least = if set == PublicSet::Cifar10 { CIFAR_TRAIN.len() } else { 1 };
    Ok(ImageSet {
        set,
        train: part("training", &dataset.train_images, &dataset.train_labels, at_least)?,
        test: part("test", &dataset.test_images, &dataset.test_labels, 1)?,
    })
}

impl ImageSet {
    /// Which set it is.
    pub fn set(&self) -> PublicSet {
        self.set
    }

    /// The images to train on.
    pub fn train(&self) -> &LabelledImages {
        &self.train
    }

    /// The images held out.
    pub fn test(&self) -> &LabelledImages {
        &self.test
    }

    /// Whether there are as many images as were published.
    ///
    /// # Errors
    /// [`HubError::Data`] if not.
    pub fn check_counts(&self) -> Result<(), HubError> {
        let real = (self.train.labels.len(), self.test.labels.len());
        let published = self.set.published_counts();
        if real == published {
            return Ok(());
        }
        Err(HubError::data(
            self.set,
            format!(
                "{} training and {} test images where there are {} and {}",
                real.0, real.1, published.0, published.1
            ),
        ))
    }
}

/// Which half of which set is being converted: what error messages tell.
struct Part {
    set: PublicSet,
    name: &'static str,
    order: PixelOrder,
}

impl Part {
    fn convert(&self, images: &Tensor, labels: &Tensor, at_least: usize) -> Result<LabelledImages, String> {
        let labels = self.labels(labels)?;
        if labels.len() < at_least {
            return Err(format!(
                "{} {} images where at least {at_least} are needed",
                labels.len(),
                self.name
            ));
        }
        let pixels = self.pixels(images, labels.len())?;
        Ok(LabelledImages { pixels, labels })
    }

    fn labels(&self, labels: &Tensor) -> Result<Vec<u8>, String> {
        let name = self.name;
        if labels.dtype() != DType::U8 || labels.rank() != 1 {
            return Err(format!(
                "{name} labels are {:?} of shape {:?}, not u8 of shape [n]",
                labels.dtype(),
                labels.dims()
            ));
        }
        let labels: Vec<u8> = labels.to_vec1().map_err(|e| format!("{name} labels: {e}"))?;
        let last = self.set.classes().len() - 1;
        match labels.iter().position(|&label| usize::from(label) > last) {
            Some(i) => Err(format!("label {} of {name} image {i} is not one of 0 to {last}", labels[i])),
            None => Ok(labels),
        }
    }

    fn pixels(&self, images: &Tensor, count: usize) -> Result<Vec<u8>, String> {
        // An f32 copy of some images at a time, not of hundreds of megabytes.
        const AT_ONCE: usize = 1000;
        let name = self.name;
        let upright = self.upright(images, count)?;
        let mut pixels = Vec::with_capacity(upright.elem_count());
        for start in (0..count).step_by(AT_ONCE) {
            let values: Vec<f32> = upright
                .narrow(0, start, AT_ONCE.min(count - start))
                .and_then(|some| some.flatten_all()?.to_vec1())
                .map_err(|e| format!("{name} images: {e}"))?;
            for value in values {
                let byte = byte(value).ok_or_else(|| {
                    let i = pixels.len() / (upright.elem_count() / count);
                    format!("{name} image {i} has a pixel of {value}, which is no byte over 255")
                })?;
                pixels.push(byte);
            }
        }
        Ok(pixels)
    }

    /// A view of the images as (n, channels, rows, columns).
    fn upright(&self, images: &Tensor, count: usize) -> Result<Tensor, String> {
        let name = self.name;
        let (channels, rows, columns) = self.set.shape();
        let turned = self.order == PixelOrder::ByColumn;
        let (second, third) = if turned { (columns, rows) } else { (rows, columns) };
        let flat = [count, channels * rows * columns];
        let full = [count, channels, second, third];
        if images.dtype() != DType::F32 || (images.dims() != flat && images.dims() != full) {
            return Err(format!(
                "{name} images are {:?} of shape {:?}, not f32 of shape {full:?} or {flat:?} for {count} labels",
                images.dtype(),
                images.dims(),
            ));
        }
        let full = images.reshape(full.as_slice());
        if turned { full.and_then(|full| full.transpose(2, 3)) } else { full }
            .map_err(|e| format!("{name} images: {e}"))
    }
}

/// The byte p of which `value` is `p / 255`, if there is one.
fn byte(value: f32) -> Option<u8> {
    // Far above the rounding of p / 255 in f32, far below the half that would make it ambiguous.
    const TOLERANCE: f32 = 1e-3;
    let scaled = value * 255.0;
    let nearest = scaled.round();
    let fits = (0.0..=255.0).contains(&nearest) && (scaled - nearest).abs() <= TOLERANCE;
    fits.then_some(nearest as u8)
}
