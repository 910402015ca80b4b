//! What is drawn for each image seen, and the order of the images.

use duet_random::Draws;

/// What is drawn for the `index`-th image seen in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageDraws {
    /// Uniform in 0..T-1.
    pub timestep: usize,
    /// Uniform in [0, 1): where in the weight of all timesteps another one is, drawn as often as it
    /// weighs.
    pub share: f64,
    /// Whether the null label replaces the image's own.
    pub drops_label: bool,
}

impl ImageDraws {
    /// The draws under `seed` for T = `timesteps` and a dropout probability in 0 to 1.
    pub fn new(seed: u64, index: u64, timesteps: usize, label_dropout: f64) -> Self {
        Self {
            timestep: Draws::new(seed, "timestep", index).below(timesteps as u64) as usize,
            share: Draws::new(seed, "weighted timestep", index).uniform(),
            drops_label: Draws::new(seed, "label dropout", index).uniform() < label_dropout,
        }
    }

    /// ε of the `index`-th image seen, standard normal.
    pub fn noise(seed: u64, index: u64, out: &mut [f32]) {
        Draws::new(seed, "noise", index).fill_normal(out);
    }
}

/// A new random order of the data set in every epoch.
#[derive(Debug, Clone)]
pub struct DataOrder {
    seed: u64,
    images: u32,
    epoch: Option<(u64, Vec<u32>)>,
}

impl DataOrder {
    /// For a data set of `images` images, at least one.
    pub fn new(seed: u64, images: u32) -> Self {
        Self { seed, images: images.max(1), epoch: None }
    }

    /// Which image of the data set is the `index`-th seen.
    pub fn image(&mut self, index: u64) -> usize {
        let (epoch, position) = (index / u64::from(self.images), index % u64::from(self.images));
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, Draws::new(self.seed, "order", epoch).permutation(self.images)));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[position as usize] as usize)
    }
}
