//! Reads labelled image data sets and writes image files. Real digits are included.
//!
//! [`digits()`] gives 12,000 images of MNIST that are compiled into the crate; it needs no download and no
//! path. [`open()`] reads a directory and recognises its content: MNIST-style IDX files (also
//! Fashion-MNIST's and EMNIST's), CIFAR-10 and CIFAR-100, archives, or one folder of image files for each
//! class ([`IMAGE_FORMATS`]). Both return [`Splits`]: a training and a test [`Dataset`] of pixels of 8 or 16
//! bits with labels and class names. The readers check everything that a file claims. [`from_bytes`] and
//! [`Raster::decode`] read the same formats from memory.
//!
//! The feature `parquet` adds parquet files, as hubs have them.
//!
//! [`Dataset::from_fn`] makes a [`Dataset`] of images from any other source, without a change to this
//! crate; `examples/own_source.rs` shows it. A new file format for [`open()`] is a file in `src/formats`
//! and an entry in the table there.
//!
//! A [`Picture`] is made from values in [-1, 1]. It can be laid out in a grid and written as a PNG.
//! [`write_apng`] and [`write_gif`] write a sequence of pictures. [`save_npz`] and [`save_idx`] write a data set.
//!
//! ```
//! let splits = duet_data::digits()?;
//! assert_eq!((splits.train.len(), splits.test.len()), (10_000, 2_000));
//!
//! let mut image = vec![0.0; splits.train.shape().len()];
//! splits.train.image(0, &mut image);
//! let picture = duet_data::Picture::from_unit(1, 28, 28, &image);
//! assert_eq!(splits.train.pixels(0), picture.pixels);
//! # Ok::<(), duet_data::DataError>(())
//! ```

pub mod animation;
mod archive;
mod atomic;
mod bmp_check;
pub mod caption;
mod class_counts;
mod classes;
mod dataset;
mod decode;
mod digits;
mod encoded;
mod error;
mod fit;
mod format;
mod formats;
pub mod from_bytes;
mod image_size;
mod input;
mod jpeg;
mod label;
mod labelled;
mod letters;
mod listing;
mod open;
mod options;
mod parallel;
pub mod picture;
mod pixels;
mod png_check;
mod png_file;
mod raster;
pub mod save;
mod suspicion;
mod tiff_check;
mod tiff_directory;
mod tree;
mod webp_check;
mod wrap;

pub use animation::{encode_apng, write_apng, write_gif};
pub use caption::Captions;
pub use classes::class_index;
pub use dataset::{Dataset, Shape, Splits};
pub use decode::IMAGE_FORMATS;
pub use digits::digits;
pub use error::{BadFile, DataError};
pub use image_size::ImageSize;
pub use label::LabelKind;
pub use open::open;
pub use options::{FolderOptions, MAX_BYTES, MAX_PIXELS};
pub use picture::Picture;
pub use pixels::{Depth, PixelSlice, Pixels};
pub use png_file::texts_of_png;
pub use raster::Raster;
pub use save::{Contents, save_idx, save_npz};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
