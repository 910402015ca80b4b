//! The order of the training images.

use duet_random::Draws;

/// A new random order of the data set in every epoch.
#[derive(Debug, Clone)]
pub struct DataOrder {
    seed: u64,
    images: u32,
    epoch: Option<(u64, Vec<u32>)>,
}

impl DataOrder {
    /// The order for a data set of `images` images, at least one.
    pub fn new(seed: u64, images: u32) -> Self {
        Self { seed, images: images.max(1), epoch: None }
    }

    /// How many images it orders.
    pub fn images(&self) -> usize {
        self.images as usize
    }

    /// The index, in the data set, of the `index`-th image seen.
    pub fn image(&mut self, index: u64) -> usize {
        let (epoch, position) = (index / u64::from(self.images), index % u64::from(self.images));
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, Draws::new(self.seed, "order", epoch).permutation(self.images)));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[position as usize] as usize)
    }
}
