//! The judge of sampled images: a classifier for labelled images, and its training.
//!
//! A [`Classifier`] gives the most probable class of an image, and the features on which its decision
//! rests. [`Classifier::digits`] is ready for the embedded digits; [`Classifier::train`] makes one for any
//! labelled images.
//!
//! Results do not depend on the batch or on the number of threads, bit for bit.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use duet_eval::{Features, Gaussian, frechet_distance};
//! use duet_judge::Classifier;
//!
//! let digits = duet_data::digits()?;
//! let classifier = Classifier::digits()?;
//! let features = |first: usize| {
//!     let mut values = vec![0.0; 300 * 784];
//!     for (i, image) in values.chunks_mut(784).enumerate() {
//!         digits.test.image(first + i, image);
//!     }
//!     let images = Tensor::from_vec(values, (300, 1, 28, 28), &Device::Cpu)?;
//!     let values = classifier.features(&images)?.flatten_all()?.to_vec1()?;
//!     Ok::<_, Box<dyn std::error::Error>>(Features::new(values, Classifier::FEATURES)?)
//! };
//! let (some, others) = (Gaussian::fit(&features(0)?)?, Gaussian::fit(&features(300)?)?);
//! assert!(frechet_distance(&some, &some)? < 1e-6);
//! assert!(frechet_distance(&some, &others)? > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod augment;
mod classifier;
mod classifier_error;
mod embedded;
mod network;
mod training;
mod weights;

pub use augment::Augmentation;
pub use classifier::Classifier;
pub use classifier_error::ClassifierError;
pub use network::Architecture;
pub use training::TrainingOptions;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
