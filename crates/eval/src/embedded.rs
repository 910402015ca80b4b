//! The classifier of the embedded digits.

use crate::{Classifier, ClassifierError};

static DIGITS: &[u8] = include_bytes!("../weights/digits.safetensors");

impl Classifier {
    /// The classifier of [`duet_data::digits`], whose weights are compiled into the crate.
    pub fn digits() -> Result<Self, ClassifierError> {
        Self::from_bytes(DIGITS)
    }
}
