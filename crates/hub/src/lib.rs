//! Public labelled image sets, out of candle-datasets and into the files they are published as.
//!
//! candle-datasets holds MNIST, Fashion-MNIST and CIFAR-10 as f32 tensors in [0, 1]. [`convert`]
//! checks such a [`Dataset`](candle_datasets::vision::Dataset) and gives its bytes back, exactly;
//! [`ImageSet::write`] makes a directory of them: gzipped IDX files, or CIFAR-10's binary batches.
//! `duet_data::open` and any other reader of the formats take it from there. This library does
//! not touch the network: the program `duet-hub` in the same package does, by calling
//! candle-datasets' downloads, and it is the only part of the workspace that does.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_datasets::vision::Dataset;
//! use duet_hub::{PixelOrder, PublicSet, convert};
//!
//! // Two images of one value each, labelled 3 and 5, as candle-datasets would give them.
//! let images = Tensor::from_vec([[0u8; 784], [200; 784]].concat(), (2, 784), &Device::Cpu)?;
//! let images = (images.to_dtype(candle_core::DType::F32)? / 255.)?;
//! let labels = Tensor::new(&[3u8, 5], &Device::Cpu)?;
//! let set = convert(PublicSet::Mnist, PixelOrder::ByRow, &Dataset {
//!     train_images: images.clone(),
//!     train_labels: labels.clone(),
//!     test_images: images,
//!     test_labels: labels,
//!     labels: 10,
//! })?;
//! assert_eq!(set.train().labels, [3, 5]);
//! assert_eq!(set.train().pixels[784..], [200; 784]);
//!
//! let folder = tempfile::tempdir()?;
//! set.write(&folder.path().join("two"))?;
//! assert!(folder.path().join("two/train-images-idx3-ubyte.gz").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cifar;
mod convert;
mod error;
mod folder;
mod idx;
mod set;
mod set_file;

pub use convert::{ImageSet, LabelledImages, PixelOrder, convert};
pub use error::HubError;
pub use folder::check_vacant;
pub use set::PublicSet;
pub use set_file::SetFile;
