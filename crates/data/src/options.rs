//! What a person may want of a data set's images.

/// What a person wants of images, whatever their files hold. The default takes them as they are, within
/// [`MAX_PIXELS`] a file and [`MAX_BYTES`] a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOptions {
    /// Rows and columns: each image's middle square, resized. `None`: as they are, which for an
    /// image folder means that all must be of one size.
    pub image_size: Option<usize>,
    /// 1 (grey) or 3 (RGB). `None`: for an image folder 1 if every image is grey and 3 otherwise,
    /// and what the format has for the others.
    pub channels: Option<usize>,
    /// Most pixels of one image file. A few bytes of a file can hold very many.
    pub max_pixels: u64,
    /// Most bytes of a data set's pixels, which are all in memory.
    pub max_bytes: u64,
}

/// Pixels of one image file that are read unless more are asked for: 64 megapixels.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Bytes of a data set that are read unless more are asked for: 4 gigabytes.
pub const MAX_BYTES: u64 = 4_000_000_000;

impl Default for FolderOptions {
    fn default() -> Self {
        Self { image_size: None, channels: None, max_pixels: MAX_PIXELS, max_bytes: MAX_BYTES }
    }
}
