//! MNIST's files: IDX, gzipped as they are published, and the class names beside them.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use crate::convert::{ImageSet, LabelledImages};
use crate::set_file::{IDX, SetFile};

/// The five files of a grey set.
pub(crate) fn files(images: &ImageSet) -> std::io::Result<Vec<SetFile>> {
    let (_, rows, columns) = images.set().shape();
    let contents = [
        gzip(&images_file(images.train(), rows, columns)?)?,
        gzip(&labels_file(images.train())?)?,
        gzip(&images_file(images.test(), rows, columns)?)?,
        gzip(&labels_file(images.test())?)?,
        images.set().class_lines(),
    ];
    Ok(IDX.into_iter().zip(contents).map(|(name, bytes)| SetFile { name, bytes }).collect())
}

fn images_file(part: &LabelledImages, rows: usize, columns: usize) -> std::io::Result<Vec<u8>> {
    idx(&[part.labels.len(), rows, columns], &part.pixels)
}

fn labels_file(part: &LabelledImages) -> std::io::Result<Vec<u8>> {
    idx(&[part.labels.len()], &part.labels)
}

/// Two zeros, 8 for unsigned bytes, the number of dimensions, each as a big-endian u32, the bytes.
fn idx(dimensions: &[usize], payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    for &size in dimensions {
        let size = u32::try_from(size).map_err(std::io::Error::other)?;
        file.extend_from_slice(&size.to_be_bytes());
    }
    file.extend_from_slice(payload);
    Ok(file)
}

/// No name and no time in the header: the same images always give the same file.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
