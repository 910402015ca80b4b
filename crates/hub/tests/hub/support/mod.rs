//! Data sets that nobody has to download: images from a formula, and tensors as candle-datasets
//! makes them.

pub mod cache;

use candle_core::{DType, Device, Tensor};
use candle_datasets::vision::Dataset;
use duet_hub::PublicSet;

/// Image `i` of a set, (channels, rows, columns): no two rows or columns of it are alike, and it
/// is not symmetric in any way.
pub fn image(set: PublicSet, i: usize) -> Vec<u8> {
    let (channels, rows, columns) = set.shape();
    let mut pixels = Vec::with_capacity(channels * rows * columns);
    for c in 0..channels {
        for y in 0..rows {
            for x in 0..columns {
                pixels.push(((31 * i + 67 * c + 8 * y + 3 * x + x * y) % 256) as u8);
            }
        }
    }
    pixels
}

/// Bytes of `n` images, one after the other.
pub fn images(set: PublicSet, n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| image(set, i)).collect()
}

/// Labels 0 to 9 over and over, beginning with 3.
pub fn labels(n: usize) -> Vec<u8> {
    (0..n).map(|i| ((i + 3) % 10) as u8).collect()
}

/// (channels, rows, columns) to (rows, columns, channels), as image decoders give it.
pub fn interleaved(set: PublicSet, pixels: &[u8]) -> Vec<u8> {
    let (channels, rows, columns) = set.shape();
    let plane = rows * columns;
    (0..plane).flat_map(|at| (0..channels).map(move |c| pixels[c * plane + at])).collect()
}

/// As `load_dir` and MNIST's `load` do it: bytes as f32, over 255.
pub fn tensor(bytes: Vec<u8>, shape: &[usize]) -> Tensor {
    let bytes = Tensor::from_vec(bytes, shape, &Device::Cpu).unwrap();
    (bytes.to_dtype(DType::F32).unwrap() / 255.0).unwrap()
}

pub fn label_tensor(labels: Vec<u8>) -> Tensor {
    let n = labels.len();
    Tensor::from_vec(labels, n, &Device::Cpu).unwrap()
}

/// `train` and `test` images by the formula, upright, as `load_dir` would give them.
pub fn dataset(set: PublicSet, train: usize, test: usize) -> Dataset {
    let (channels, rows, columns) = set.shape();
    let part = |n: usize| match set {
        PublicSet::Cifar10 => tensor(images(set, n), &[n, channels, rows, columns]),
        _ => tensor(images(set, n), &[n, rows * columns]),
    };
    Dataset {
        train_images: part(train),
        train_labels: label_tensor(labels(train)),
        test_images: part(test),
        test_labels: label_tensor(labels(test)),
        labels: 10,
    }
}
