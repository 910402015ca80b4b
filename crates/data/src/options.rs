//! Options for reading a data set.

use std::path::Path;

use crate::error::DataError;
use crate::image_size::ImageSize;
use crate::label::LabelKind;

/// The wanted size and channels of images, and the limits of reading. The default changes nothing, and has
/// the limits [`MAX_PIXELS`] for a file and [`MAX_BYTES`] for a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOptions {
    /// The number of rows and of columns: the largest middle part of each image that has their proportion is
    /// resized to them. `None` keeps the sizes; all images of an image folder must then have the same size.
    pub image_size: Option<ImageSize>,
    /// 1 (grey) or 3 (RGB). `None` keeps the channels of the format; an image folder has 1 if every image
    /// is grey, and 3 otherwise.
    pub channels: Option<usize>,
    /// The label that is the class, for a data set with two: CIFAR-100. `None` takes the fine one there; a
    /// choice is refused where images have one label.
    pub label: Option<LabelKind>,
    /// The largest number of pixels of one image file. A file of few bytes can hold very many pixels.
    pub max_pixels: u64,
    /// The largest number of bytes of a data set's pixels. All of them are in memory.
    pub max_bytes: u64,
}

/// The default limit of pixels of one image file: 64 megapixels.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The default limit of bytes of a data set: 4 gigabytes.
pub const MAX_BYTES: u64 = 4_000_000_000;

impl FolderOptions {
    /// # Errors
    /// A choice between two labels, for a data set at `path` whose images have one.
    pub(crate) fn check_no_label(&self, path: &Path) -> Result<(), DataError> {
        match self.label {
            None => Ok(()),
            Some(kind) => Err(DataError::malformed(
                path,
                format!("its images have one label, so there is no {kind} one to choose"),
                "leave out --label (the label option)",
            )),
        }
    }
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { image_size: None, channels: None, label: None, max_pixels: MAX_PIXELS, max_bytes: MAX_BYTES }
    }
}
