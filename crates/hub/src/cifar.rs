//! CIFAR-10's binary version: records of one label byte and 3072 pixel bytes.
//!
//! The format is described at <https://www.cs.toronto.edu/~kriz/cifar.html>.

use crate::convert::{ImageSet, LabelledImages};
use crate::set_file::{CIFAR, CIFAR_NAMES, CIFAR_TEST, CIFAR_TRAIN, SetFile};

/// The seven files of the set; its training images in five parts whose sizes differ by one at
/// most, 10,000 each of the published
/// 50,000.
pub(crate) fn files(images: &ImageSet) -> Vec<SetFile> {
    let count = images.train().labels.len();
    let mut files: Vec<SetFile> = Vec::with_capacity(CIFAR.len());
    for (i, name) in CIFAR_TRAIN.into_iter().enumerate() {
        let (start, end) = (i * count / CIFAR_TRAIN.len(), (i + 1) * count / CIFAR_TRAIN.len());
        files.push(SetFile { name, bytes: records(images, images.train(), start, end) });
    }
    let test = images.test();
    files.push(SetFile { name: CIFAR_TEST, bytes: records(images, test, 0, test.labels.len()) });
    files.push(SetFile { name: CIFAR_NAMES, bytes: images.set().class_lines() });
    files
}

/// The images from `start` to before `end`, each after its label. Pixels are red, green and blue
/// plane row by row already.
fn records(images: &ImageSet, part: &LabelledImages, start: usize, end: usize) -> Vec<u8> {
    let (channels, rows, columns) = images.set().shape();
    let len = channels * rows * columns;
    let mut bytes = Vec::with_capacity((end - start) * (1 + len));
    let pixels = part.pixels.chunks_exact(len);
    for (&label, image) in part.labels.iter().zip(pixels).take(end).skip(start) {
        bytes.push(label);
        bytes.extend_from_slice(image);
    }
    bytes
}
