//! The order of the training images.

use crate::options::TrainOptions;
use duet_data::Dataset;
use duet_random::Draws;
use std::collections::BTreeMap;

/// The order in which training sees the images of a data set. Which image is the `index`-th seen is a function
/// of (seed, index) and, in a balanced order, of the labels.
#[derive(Debug, Clone)]
pub struct DataOrder {
    seed: u64,
    images: u32,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// A new random order of all images in every epoch.
    Epochs(Shuffled),
    /// Every class once in each round, in a new random order; and of a class every image once in each of its own
    /// epochs.
    Balanced { rounds: Shuffled, classes: Vec<(Vec<u32>, Shuffled)> },
}

impl DataOrder {
    /// A new random order in every epoch, for a data set of `images` images, at least one.
    pub fn new(seed: u64, images: u32) -> Self {
        let images = images.max(1);
        Self { seed, images, rule: Rule::Epochs(Shuffled::new("order".into(), images)) }
    }

    /// Draws classes alike: of K classes with images, any K·r images seen from the beginning have r of each class.
    /// Within a class, every image is seen before one comes again. `labels` are those of the images, at least one.
    pub fn balanced(seed: u64, labels: &[u32]) -> Self {
        let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (image, &label) in (0..).zip(labels) {
            classes.entry(label).or_default().push(image);
        }
        if classes.is_empty() {
            return Self::new(seed, 0);
        }
        let rounds = Shuffled::new("class order".into(), classes.len() as u32);
        let of_class = |(label, images): (u32, Vec<u32>)| {
            let order = Shuffled::new(format!("order of class {label}"), images.len() as u32);
            (images, order)
        };
        let classes = classes.into_iter().map(of_class).collect();
        Self { seed, images: labels.len() as u32, rule: Rule::Balanced { rounds, classes } }
    }

    /// The order in which these options see a data set.
    pub fn of(options: &TrainOptions, dataset: &Dataset) -> Self {
        match options.balance {
            true => Self::balanced(options.seed, dataset.labels()),
            false => Self::new(options.seed, dataset.len() as u32),
        }
    }

    /// How many images it orders.
    pub fn images(&self) -> usize {
        self.images as usize
    }

    /// The index, in the data set, of the `index`-th image seen.
    pub fn image(&mut self, index: u64) -> usize {
        match &mut self.rule {
            Rule::Epochs(order) => order.at(self.seed, index) as usize,
            Rule::Balanced { rounds, classes } => {
                // A round shows each class once, so the round is how often its class came before.
                let round = index / classes.len() as u64;
                let (images, order) = &mut classes[rounds.at(self.seed, index) as usize];
                images[order.at(self.seed, round) as usize] as usize
            }
        }
    }
}

/// The numbers below `count`, at least one, in a new random order every `count` of them.
#[derive(Debug, Clone)]
struct Shuffled {
    purpose: String,
    count: u32,
    epoch: Option<(u64, Vec<u32>)>,
}

impl Shuffled {
    fn new(purpose: String, count: u32) -> Self {
        Self { purpose, count, epoch: None }
    }

    fn at(&mut self, seed: u64, index: u64) -> u32 {
        let (epoch, position) = (index / u64::from(self.count), index % u64::from(self.count));
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, Draws::new(seed, &self.purpose, epoch).permutation(self.count)));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[position as usize])
    }
}
