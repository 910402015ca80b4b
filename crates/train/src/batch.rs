//! The images of a step.

use candle_core::{Device, Tensor};
use duet_data::Dataset;

/// Images with their labels.
#[derive(Debug, Clone)]
pub struct Batch {
    /// x_0, (n, C, H, W) f32 in [-1, 1].
    pub images: Tensor,
    /// Class of each image; empty for an unconditional network.
    pub labels: Vec<u32>,
}

impl Batch {
    /// The images of a data set with these indices. Panics: an index outside the data set. Errors: those of
    /// candle.
    pub fn from_dataset(dataset: &Dataset, indices: &[usize], device: &Device) -> candle_core::Result<Self> {
        let shape = dataset.shape();
        let mut values = vec![0f32; indices.len() * shape.len()];
        for (values, &i) in values.chunks_mut(shape.len()).zip(indices) {
            dataset.image(i, values);
        }
        let images =
            Tensor::from_vec(values, (indices.len(), shape.channels, shape.height, shape.width), device)?;
        Ok(Self { images, labels: indices.iter().map(|&i| dataset.label(i)).collect() })
    }
}
