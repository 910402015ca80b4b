//! The files of a set: what they are called, and one before it is written.

/// A file of a set: its name in the directory, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFile {
    /// The name that readers of the format look for.
    pub name: &'static str,
    /// The whole content.
    pub bytes: Vec<u8>,
}

/// Training images and labels, test images and labels, class names.
pub(crate) const IDX: [&str; 5] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "classes.txt",
];

/// The files that the training images are spread over, in order.
pub(crate) const CIFAR_TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
pub(crate) const CIFAR_TEST: &str = "test_batch.bin";
pub(crate) const CIFAR_NAMES: &str = "batches.meta.txt";

/// All files of the set.
pub(crate) const CIFAR: [&str; 7] =
    [CIFAR_TRAIN[0], CIFAR_TRAIN[1], CIFAR_TRAIN[2], CIFAR_TRAIN[3], CIFAR_TRAIN[4], CIFAR_TEST, CIFAR_NAMES];
