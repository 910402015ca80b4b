//! Labelled image data sets in, image files out; real digits included.
//!
//! [`digits()`] is 12,000 images of MNIST that are compiled into the crate: no download, no path.
//! [`open()`] reads a directory and finds out by itself what is in it: MNIST-style IDX files (also
//! Fashion-MNIST's and EMNIST's), CIFAR-10's binary batches, or one folder of PNG or JPEG images
//! per class. Both give [`Splits`]: a training and a test [`Dataset`] of u8 pixels with labels and
//! class names. Nothing that a file says is believed before it is checked. [`from_bytes`] and
//! [`Picture::decode`] read the same formats from memory.
//!
//! Images of any other source become a [`Dataset`] by [`Dataset::from_fn`], without a change to this
//! crate; `examples/own_source.rs` does it. A format of files that [`open()`] shall recognise is a file
//! in `src/formats` and its entry in the table there.
//!
//! In the other direction, a [`Picture`] is made from values in [-1, 1], laid out in a grid, and
//! written as a PNG; [`write_apng`] and [`write_gif`] write a sequence of pictures.
//!
//! ```
//! let splits = duet_data::digits()?;
//! assert_eq!((splits.train.len(), splits.test.len()), (10_000, 2_000));
//!
//! let mut image = vec![0.0; splits.train.shape().len()];
//! splits.train.image(0, &mut image);
//! let picture = duet_data::Picture::from_unit(1, 28, 28, &image);
//! assert_eq!(picture.pixels, splits.train.pixels(0));
//! # Ok::<(), duet_data::DataError>(())
//! ```

pub mod animation;
mod atomic;
pub mod caption;
mod classes;
mod dataset;
mod decode;
mod digits;
mod error;
mod fit;
mod format;
mod formats;
pub mod from_bytes;
mod jpeg;
mod labelled;
mod letters;
mod listing;
mod open;
mod options;
mod parallel;
pub mod picture;
mod png_check;
mod png_file;
mod suspicion;
mod wrap;

pub use animation::{encode_apng, write_apng, write_gif};
pub use caption::Captions;
pub use classes::class_index;
pub use dataset::{Dataset, Shape, Splits};
pub use digits::digits;
pub use error::{BadFile, DataError};
pub use open::open;
pub use options::{FolderOptions, MAX_BYTES, MAX_PIXELS};
pub use picture::Picture;
pub use png_file::texts_of_png;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
