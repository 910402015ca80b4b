//! What judges generated images.
//!
//! A [`Classifier`] says which class an image is taken for, and maps it to the features that its
//! decision rests on. [`Classifier::digits`] is ready for the embedded digits;
//! [`Classifier::train`] makes one for any labelled images.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use duet_eval::Classifier;
//!
//! let test = duet_data::digits()?.test;
//! let mut image = vec![0.0; test.shape().len()];
//! test.image(7, &mut image);
//! let images = Tensor::from_vec(image, (1, 1, 28, 28), &Device::Cpu)?;
//!
//! let classifier = Classifier::digits()?;
//! assert_eq!(classifier.classify(&images)?, [test.label(7)]);
//! assert_eq!(classifier.features(&images)?.dims(), [1, Classifier::FEATURES]);
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
pub use training::TrainingOptions;
