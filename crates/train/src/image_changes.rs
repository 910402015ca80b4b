//! The images of a batch as training shows them: mirrored or augmented at random, or as they are.

use crate::augmentation::Augmentation;
use crate::flip::{Flip, mirror};
use candle_core::{Result, Tensor};
use duet_data::Shape;
use rayon::prelude::*;

/// How training changes images. What happens to one is a function of (seed, index of the image seen).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageChanges {
    pub seed: u64,
    pub flip: Flip,
    /// The probability of each transformation of an [`Augmentation`].
    pub augment: f64,
}

impl ImageChanges {
    /// How many numbers tell the network of what was done to an image.
    pub fn labels(&self) -> usize {
        if self.augment > 0.0 { Augmentation::LABELS } else { 0 }
    }

    /// The images (n, C, H, W) f32 after the changes, the first of them the `first`-th seen; and what the network
    /// is told (n, [`ImageChanges::labels`]), unless that is nothing. Both are on the device of the images.
    pub fn apply(&self, first: u64, images: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        if self.flip == Flip::Off && self.labels() == 0 {
            return Ok((images.clone(), None));
        }
        let (count, channels, height, width) = images.dims4()?;
        let shape = Shape { channels, height, width };
        let mut values = images.flatten_all()?.to_vec1::<f32>()?;
        let change = |(i, image): (usize, &mut [f32])| {
            let index = first + i as u64;
            mirror(shape, self.flip.axes(self.seed, index), image);
            let augmentation = match self.labels() {
                0 => Augmentation::NONE,
                _ => Augmentation::new(self.seed, index, self.augment),
            };
            augmentation.apply(shape, image);
            augmentation.labels()
        };
        let told: Vec<_> = values.par_chunks_mut(shape.len().max(1)).enumerate().map(change).collect();
        let told = match self.labels() {
            0 => None,
            labels => Some(Tensor::from_vec(told.concat(), (count, labels), images.device())?),
        };
        Ok((Tensor::from_vec(values, images.shape(), images.device())?, told))
    }
}
