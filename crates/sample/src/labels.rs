//! What each image will show.

use crate::error::SampleError;

/// A class for each image, or a mixture of classes.
///
/// The prediction for a mixture is the sum of its classes' predictions times their shares. This is the
/// composition of concepts of Liu et al. 2022 (equation 11) without guidance. Each class in a mixture costs
/// an evaluation of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels(Vec<Vec<(u32, f64)>>);

impl Labels {
    /// One class for each image.
    pub fn new(labels: &[u32]) -> Self {
        Self(labels.iter().map(|&label| vec![(label, 1.0)]).collect())
    }

    /// Classes and their shares for each image.
    ///
    /// Errors: an image without a class; shares that do not sum to 1.
    pub fn mixtures(mixtures: Vec<Vec<(u32, f64)>>) -> Result<Self, SampleError> {
        for mixture in &mixtures {
            let sum: f64 = mixture.iter().map(|(_, share)| share).sum();
            if sum.is_nan() || (sum - 1.0).abs() > 1e-6 {
                return Err(SampleError::Setting(format!("shares {mixture:?} sum to {sum}: must be 1")));
            }
        }
        Ok(Self(mixtures))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The classes of image `i` and their shares.
    pub fn parts(&self, i: usize) -> &[(u32, f64)] {
        &self.0[i]
    }

    /// The labels of a part of the batch.
    pub fn of_images(&self, range: std::ops::Range<usize>) -> Self {
        Self(self.0[range].to_vec())
    }
}
