//! The sets that candle-datasets can download, and what is known of each beforehand.

use std::fmt;

use crate::set_file;

/// A public data set of ten classes that candle-datasets can download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum PublicSet {
    /// 70,000 grey images of handwritten digits, 28x28
    Mnist,
    /// 70,000 grey images of clothes, 28x28
    FashionMnist,
    /// 60,000 colour images of animals and vehicles, 32x32
    Cifar10,
}

impl PublicSet {
    /// The shape of every image: channels, rows, columns.
    pub fn shape(self) -> (usize, usize, usize) {
        match self {
            PublicSet::Mnist | PublicSet::FashionMnist => (1, 28, 28),
            PublicSet::Cifar10 => (3, 32, 32),
        }
    }

    /// How many training and test images were published.
    pub fn published_counts(self) -> (usize, usize) {
        match self {
            PublicSet::Mnist | PublicSet::FashionMnist => (60_000, 10_000),
            PublicSet::Cifar10 => (50_000, 10_000),
        }
    }

    /// The class names in the order of the labels.
    pub fn classes(self) -> [&'static str; 10] {
        match self {
            PublicSet::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            PublicSet::FashionMnist => [
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
            PublicSet::Cifar10 => {
                ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
            }
        }
    }

    /// The class names as a file, one a line.
    pub(crate) fn class_lines(self) -> Vec<u8> {
        self.classes().map(|name| format!("{name}\n")).concat().into_bytes()
    }

    /// The names of the files that hold the set, those that `ImageSet::write` makes.
    pub fn file_names(self) -> Vec<&'static str> {
        match self {
            PublicSet::Mnist | PublicSet::FashionMnist => set_file::IDX.to_vec(),
            PublicSet::Cifar10 => set_file::CIFAR.to_vec(),
        }
    }
}

/// The name that people know the set by.
impl fmt::Display for PublicSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublicSet::Mnist => "MNIST",
            PublicSet::FashionMnist => "Fashion-MNIST",
            PublicSet::Cifar10 => "CIFAR-10",
        })
    }
}
