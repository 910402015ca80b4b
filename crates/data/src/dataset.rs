//! A labelled set of images of one size, held in memory as bytes or as values of 16 bits.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, count};
use crate::picture::byte_of_unit;
use crate::pixels::{Depth, PixelSlice, Pixels};

/// The number of values of 16 bits that are hashed at a time.
const HASHED: usize = 1 << 16;

/// The shape of one image: channels, then rows, then columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// The number of values of one image, `channels * height * width`.
    ///
    /// It does not overflow for the shape of a [`Dataset`].
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// [`Shape::len`] of an unchecked shape: `None` if it is 0 or overflows.
    pub(crate) fn checked_len(&self) -> Option<usize> {
        self.channels.checked_mul(self.height)?.checked_mul(self.width).filter(|&len| len > 0)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// One split of a data set: pixels of 8 or 16 bits in (n, channels, height, width) order, a label for each
/// image, and a name for each class.
///
/// Every label is below `classes().len()`, class names are distinct and not empty.
/// The pixels are read with [`Dataset::image`] (scaled to [-1, 1]) or [`Dataset::pixels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    shape: Shape,
    pixels: Pixels,
    labels: Vec<u32>,
    classes: Arc<[String]>,
}

impl Dataset {
    /// A data set of `labels.len()` images; `pixels` is (n, channels, height, width).
    ///
    /// # Errors
    /// A shape without values, a number of pixels that is not `labels.len() * shape.len()`,
    /// no classes, an empty or repeated class name, or a label that is not below
    /// `classes.len()`.
    pub fn new(
        shape: Shape,
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: impl Into<Arc<[String]>>,
    ) -> Result<Self, DataError> {
        Self::of_pixels(shape, pixels.into(), labels, classes)
    }

    /// As [`Dataset::new`], of pixels of 8 or 16 bits.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn of_pixels(
        shape: Shape,
        pixels: Pixels,
        labels: Vec<u32>,
        classes: impl Into<Arc<[String]>>,
    ) -> Result<Self, DataError> {
        let classes = classes.into();
        let expected =
            shape.checked_len().and_then(|len| len.checked_mul(labels.len())).ok_or_else(|| {
                DataError::invalid(format!(
                    "shape {shape} (channels x height x width) has no values or too many for {} images",
                    labels.len()
                ))
            })?;
        if pixels.len() != expected {
            return Err(DataError::invalid(format!(
                "{} labels of shape {shape} need {expected} pixels, but there are {}",
                labels.len(),
                pixels.len()
            )));
        }
        check_names(&classes).map_err(DataError::invalid)?;
        if let Some(i) = labels.iter().position(|&l| l as usize >= classes.len()) {
            return Err(DataError::invalid(format!(
                "label {} of image {i} is not below the number of classes, {}",
                labels[i],
                classes.len()
            )));
        }
        Ok(Dataset { shape, pixels, labels, classes })
    }

    /// A data set of `count` images. `fill` makes each image: it writes the values of image i in [-1, 1],
    /// in the order (channels, height, width), and returns the label.
    ///
    /// Use it for images of any source: your own file format, a database, a function. Values are stored as
    /// bytes, `round((v + 1) * 127.5)`; values outside the range are clamped.
    ///
    /// # Errors
    /// A value that is NaN, with the index of its image; otherwise as [`Dataset::new`].
    ///
    /// ```
    /// use duet_data::{Dataset, Shape};
    /// let shape = Shape { channels: 1, height: 2, width: 2 };
    /// let classes = ["dark", "light"].map(String::from).to_vec();
    /// let shades = Dataset::from_fn(shape, classes, 10, |i, image| {
    ///     image.fill(i as f32 / 4.5 - 1.0);
    ///     u32::from(i >= 5)
    /// })?;
    /// assert_eq!((shades.len(), shades.label(9)), (10, 1));
    /// assert_eq!(shades.pixels(9), [255; 4]);
    /// # Ok::<(), duet_data::DataError>(())
    /// ```
    pub fn from_fn(
        shape: Shape,
        classes: impl Into<Arc<[String]>>,
        count: usize,
        mut fill: impl FnMut(usize, &mut [f32]) -> u32,
    ) -> Result<Self, DataError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        // `new` refuses a wrong shape.
        let mut image = vec![0.0; shape.checked_len().unwrap_or(0)];
        for i in 0..count {
            image.fill(0.0);
            labels.push(fill(i, &mut image));
            if let Some(at) = image.iter().position(|value| value.is_nan()) {
                return Err(DataError::invalid(format!("value {at} of image {i} is NaN")));
            }
            pixels.extend(image.iter().map(|&value| byte_of_unit(value)));
        }
        Self::new(shape, pixels, labels, classes)
    }

    /// The same images and labels, with other names of the classes.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub(crate) fn with_classes(self, classes: Vec<String>) -> Result<Self, DataError> {
        Self::of_pixels(self.shape, self.pixels, self.labels, classes)
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of every image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The class names. A label is an index into them. The training and test splits share them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The label of image `i`, below `classes().len()`.
    ///
    /// # Panics
    /// Unless `i < len()`.
    pub fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Whether the pixels have 8 or 16 bits.
    pub fn depth(&self) -> Depth {
        self.pixels.depth()
    }

    /// The pixels of image `i`, (channels, height, width), `shape().len()` of them.
    ///
    /// # Panics
    /// Unless `i < len()`.
    pub fn pixels(&self, i: usize) -> PixelSlice<'_> {
        let len = self.shape.len();
        self.pixels.part(i * len, (i + 1) * len)
    }

    /// Image `i` as values in [-1, 1], (channels, height, width), written to `out`:
    /// `v / 127.5 - 1` for a byte v, and `v / 32767.5 - 1` for 16 bits.
    ///
    /// [`Picture::from_unit`](crate::Picture::from_unit) is the exact inverse for bytes.
    ///
    /// # Panics
    /// Unless `i < len()` and `out.len() == shape().len()`.
    pub fn image(&self, i: usize, out: &mut [f32]) {
        let pixels = self.pixels(i);
        assert_eq!(out.len(), pixels.len(), "Dataset::image: out has not the values of shape {}", self.shape);
        pixels.to_unit(out);
    }

    /// The number of images of each class, in the order of [`Dataset::classes`].
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The first `count` images of each class in their order, or all if there are fewer.
    ///
    /// The classes and labels stay the same. Use it for a quick look or a balanced reference.
    pub fn take_per_class(&self, count: usize) -> Dataset {
        let mut taken = vec![0; self.classes.len()];
        let chosen: Vec<usize> = (0..self.len())
            .filter(|&i| {
                let taken = &mut taken[self.labels[i] as usize];
                *taken += 1;
                *taken <= count
            })
            .collect();
        self.select(&chosen)
    }

    /// The images with these indices, in this order. Panics if one is out of range.
    pub fn select(&self, indices: &[usize]) -> Dataset {
        let count = indices.len() * self.shape.len();
        let mut pixels =
            Pixels::reserved(self.depth(), count).expect("no more memory than the set itself has");
        for &i in indices {
            pixels.append(self.pixels(i));
        }
        Dataset {
            shape: self.shape,
            pixels,
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// BLAKE3 of everything in the data set, 64 hexadecimal digits.
    ///
    /// It hashes channels, height, width, the number of classes, each name's length and bytes, the number
    /// of images, the labels and the pixels. Integers are little-endian u64, labels little-endian u32, pixels
    /// bytes or little-endian u16.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let number = |hasher: &mut blake3::Hasher, value: usize| {
            hasher.update(&(value as u64).to_le_bytes());
        };
        number(&mut hasher, self.shape.channels);
        number(&mut hasher, self.shape.height);
        number(&mut hasher, self.shape.width);
        number(&mut hasher, self.classes.len());
        for name in self.classes.iter() {
            number(&mut hasher, name.len());
            hasher.update(name.as_bytes());
        }
        number(&mut hasher, self.labels.len());
        let labels: Vec<u8> = self.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        hasher.update(&labels);
        match self.pixels.as_slice() {
            PixelSlice::Eight(values) => drop(hasher.update(values)),
            PixelSlice::Sixteen(values) => {
                let mut bytes = Vec::with_capacity(2 * HASHED);
                for values in values.chunks(HASHED) {
                    bytes.clear();
                    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    hasher.update(&bytes);
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The training and test split of a data set, which share shape and classes, and its name.
///
/// The name is that of the directory, or `digits`. It is for people and need not be unique. The test split
/// may be empty (for an image folder with one image in each class).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splits {
    /// The name of the data set, for people.
    pub name: String,
    /// The images to train on.
    pub train: Dataset,
    /// The held-out images.
    pub test: Dataset,
    /// What was left out besides the images, one sentence for each kind.
    pub left_out: Vec<String>,
}

impl Splits {
    /// The splits of a data set that was made in memory.
    ///
    /// # Errors
    /// Splits that differ in shape or class names.
    pub fn new(name: impl Into<String>, train: Dataset, test: Dataset) -> Result<Self, DataError> {
        if train.shape != test.shape {
            return Err(DataError::invalid(format!(
                "training images of shape {} and test images of shape {}",
                train.shape, test.shape
            )));
        }
        if train.classes != test.classes {
            return Err(DataError::invalid(format!(
                "training images of the classes {:?} and test images of the classes {:?}",
                train.classes, test.classes
            )));
        }
        Ok(Splits { name: name.into(), train, test, left_out: Vec::new() })
    }

    /// One line: `digits: 10000 training and 2000 test images, 1x28x28, 10 classes`; 16 bits are mentioned.
    pub fn describe(&self) -> String {
        format!(
            "{}: {} training and {}, {}{}, {}",
            self.name,
            self.train.len(),
            count(self.test.len(), "test image"),
            self.train.shape(),
            match self.train.depth() {
                Depth::Eight => "",
                Depth::Sixteen => " of 16 bits",
            },
            match self.train.classes().len() {
                1 => "1 class".into(),
                n => format!("{n} classes"),
            }
        )
    }
}

/// Checks class names; the error says what is wrong.
pub(crate) fn check_names(classes: &[String]) -> Result<(), String> {
    if classes.is_empty() {
        return Err("there are no classes".into());
    }
    let mut seen = HashSet::new();
    for (i, name) in classes.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(format!("the name of class {i} is empty"));
        }
        if !seen.insert(name) {
            return Err(format!("two classes are named {name:?}"));
        }
    }
    Ok(())
}
