//! What judges generated images.
//!
//! A [`Classifier`] says which class an image is taken for, and maps it to the features that its
//! decision rests on. [`Classifier::digits`] is ready for the embedded digits;
//! [`Classifier::train`] makes one for any labelled images.

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
