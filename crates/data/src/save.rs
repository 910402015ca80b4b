//! Writes data sets: NumPy's arrays in one file, and MNIST's file format. [`open()`](crate::open()) reads both.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::dataset::{Shape, check_names};
use crate::error::DataError;
use crate::picture::Picture;

/// The largest zip member that needs no 64-bit sizes.
const SMALL: usize = 1 << 31;

/// What a set of images is, without the images.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The shape of every image.
    pub shape: Shape,
    /// The label of each image, below the number of names.
    pub labels: &'a [u32],
    /// The name of each class.
    pub classes: &'a [String],
}

/// Writes a `.npz` file, whole or not at all: `train_images` (n, height, width) or (n, height, width, 3) u8,
/// `train_labels` (n) i64, and `class_names` (k) as text. `image` gives image i; one at a time is in memory.
///
/// # Errors
/// An image of another shape, labels or names that do not fit, what `image` says, and [`DataError::Write`].
pub fn save_npz(
    path: &Path,
    contents: Contents<'_>,
    mut image: impl FnMut(usize) -> Result<Picture, DataError>,
) -> Result<(), DataError> {
    contents.check()?;
    let Shape { channels, height, width } = contents.shape;
    let count = contents.labels.len();
    let shape = match channels {
        1 => format!("({count}, {height}, {width})"),
        _ => format!("({count}, {height}, {width}, {channels})"),
    };
    let (longest, names) = text_array(contents.classes);
    let labels: Vec<u8> = contents.labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
    whole(path, |file| {
        let mut archive = ZipWriter::new(BufWriter::new(file));
        let large = contents.shape.len().saturating_mul(count) >= SMALL;
        let options = SimpleFileOptions::default();
        archive.start_file("train_images.npy", options.large_file(large)).map_err(io::Error::other)?;
        archive.write_all(&header("|u1", &shape))?;
        for i in 0..count {
            archive.write_all(&contents.checked(i, image(i))?.pixels)?;
        }
        let arrays = [
            ("train_labels.npy", header("<i8", &format!("({count},)")), labels),
            (
                "class_names.npy",
                header(&format!("<U{longest}"), &format!("({},)", contents.classes.len())),
                names,
            ),
        ];
        for (name, header, values) in arrays {
            archive.start_file(name, options).map_err(io::Error::other)?;
            archive.write_all(&header)?;
            archive.write_all(&values)?;
        }
        archive.finish().map_err(io::Error::other)?.flush()
    })
}

/// Writes `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and `classes.txt` into a folder, each whole or
/// not at all. `image` gives image i; one at a time is in memory.
///
/// # Errors
/// Images with colours or more than 256 classes, which the format has not; a name with a line end, which
/// `classes.txt` cannot hold; otherwise as [`save_npz`].
pub fn save_idx(
    folder: &Path,
    contents: Contents<'_>,
    mut image: impl FnMut(usize) -> Result<Picture, DataError>,
) -> Result<(), DataError> {
    contents.check_idx()?;
    let number = |value: usize| {
        u32::try_from(value).map_err(|_| DataError::invalid(format!("{value} is too large for an IDX file")))
    };
    let Shape { height, width, .. } = contents.shape;
    let (count, rows, columns) = (number(contents.labels.len())?, number(height)?, number(width)?);
    whole(&folder.join("train-images-idx3-ubyte"), |file| {
        let mut file = BufWriter::new(file);
        [0x803, count, rows, columns].iter().try_for_each(|value| file.write_all(&value.to_be_bytes()))?;
        for i in 0..contents.labels.len() {
            file.write_all(&contents.checked(i, image(i))?.pixels)?;
        }
        file.flush()
    })?;
    whole(&folder.join("train-labels-idx1-ubyte"), |file| {
        [0x801, count].iter().try_for_each(|value| file.write_all(&value.to_be_bytes()))?;
        file.write_all(&contents.labels.iter().map(|&label| label as u8).collect::<Vec<_>>())
    })?;
    let names = contents.classes.iter().map(|name| format!("{name}\n")).collect::<String>();
    whole(&folder.join("classes.txt"), |file| file.write_all(names.as_bytes()))
}

impl Contents<'_> {
    /// Refuses what [`save_idx`] cannot write, before there is an image.
    ///
    /// # Errors
    /// As [`save_idx`].
    pub fn check_idx(&self) -> Result<(), DataError> {
        self.check()?;
        let (channels, count) = (self.shape.channels, self.classes.len());
        let is_lost = |name: &&String| name.trim() != **name || name.contains(['\n', '\r', '\u{feff}']);
        let cause = match self.classes.iter().find(is_lost) {
            _ if channels != 1 => format!("IDX files hold grey images, and these have {channels} channels"),
            _ if count > 256 => format!("IDX files hold 256 classes at most, not {count}"),
            Some(name) => format!("classes.txt beside IDX files cannot hold the class name {name:?}"),
            None => return Ok(()),
        };
        Err(DataError::invalid(cause))
    }

    /// Refuses what [`save_npz`] cannot write, before there is an image.
    ///
    /// # Errors
    /// As [`save_npz`].
    pub fn check(&self) -> Result<(), DataError> {
        check_names(self.classes).map_err(DataError::invalid)?;
        match self.labels.iter().find(|&&label| label as usize >= self.classes.len()) {
            Some(label) => {
                let count = self.classes.len();
                Err(DataError::invalid(format!("label {label} is not below the number of classes, {count}")))
            }
            None => Ok(()),
        }
    }

    /// An image of the set's shape.
    fn checked(&self, i: usize, picture: Result<Picture, DataError>) -> io::Result<Picture> {
        let picture = picture.map_err(io::Error::other)?;
        let shape = Shape { channels: picture.channels, height: picture.height, width: picture.width };
        match shape == self.shape {
            true => Ok(picture),
            false => Err(io::Error::other(format!("image {i} has the shape {shape}, not {}", self.shape))),
        }
    }
}

/// Writes a file whole or not at all. What is wrong with an image is told as it is.
fn whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), DataError> {
    duet_files::write_whole(path, write).map_err(|error| match error.downcast::<DataError>() {
        Ok(error) => error,
        Err(error) => DataError::write(path, error),
    })
}

/// The beginning of a `.npy` file, version 1.0: 64 bytes or a multiple.
fn header(descr: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length are 10 bytes, the line end is one.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    bytes
}

/// Texts as NumPy holds them: each as many UTF-32 characters as the longest has, which is the first value.
fn text_array(texts: &[String]) -> (usize, Vec<u8>) {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let mut bytes = Vec::with_capacity(4 * longest * texts.len());
    for text in texts {
        let padded = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
        bytes.extend(padded.flat_map(u32::to_le_bytes));
    }
    (longest, bytes)
}
