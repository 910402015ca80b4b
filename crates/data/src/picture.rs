//! A picture for people, as bytes, with rows from the top.

use crate::error::DataError;

/// An image as files hold it: u8, (height, width, channels), 1 channel (grey) or 3 (RGB).
///
/// The fields are public. Every method needs `pixels.len() == height * width * channels` and both sides
/// above 0. [`Picture::new`] checks this, and the other constructors ensure it. Methods panic if it does
/// not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// 1 or 3.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// (height, width, channels).
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture of these pixels, (height, width, channels).
    ///
    /// # Errors
    /// Channels other than 1 or 3; a side of 0; a number of pixels that does not fit the sides.
    pub fn new(channels: usize, height: usize, width: usize, pixels: Vec<u8>) -> Result<Picture, DataError> {
        let expected = checked_len(channels, height, width)?;
        if pixels.len() != expected {
            return Err(DataError::invalid(format!(
                "a picture of {height} rows, {width} columns and {channels} channels has \
                 {expected} values, not {}",
                pixels.len()
            )));
        }
        Ok(Picture { channels, height, width, pixels })
    }

    /// A picture of `values` in [-1, 1], (channels, height, width): `round((v + 1) * 127.5)`.
    ///
    /// Values outside the range are clamped, infinite ones too. NaN becomes 0, which is black.
    /// [`Dataset::image`](crate::Dataset::image) is the exact inverse.
    ///
    /// # Panics
    /// Unless `channels` is 1 or 3, both sides are above 0, and there are
    /// `channels * height * width` values.
    pub fn from_unit(channels: usize, height: usize, width: usize, values: &[f32]) -> Picture {
        let expected = checked_len(channels, height, width).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            values.len(),
            expected,
            "Picture::from_unit: {channels}x{height}x{width} (channels x height x width) values"
        );
        let plane = height * width;
        let mut pixels = vec![0; expected];
        for (i, pixel) in pixels.chunks_exact_mut(channels).enumerate() {
            for (c, out) in pixel.iter_mut().enumerate() {
                *out = byte_of_unit(values[c * plane + i]);
            }
        }
        Picture { channels, height, width, pixels }
    }

    /// Lays the pictures out row by row in a grid of `columns`, with `padding` white pixels between and
    /// around them. Empty cells in the last row are white. If there are fewer pictures than columns, the
    /// grid has as many columns as pictures.
    ///
    /// # Errors
    /// No pictures; no columns; pictures that differ in size or channels; a grid that is too large.
    pub fn grid(pictures: &[Picture], columns: usize, padding: usize) -> Result<Picture, DataError> {
        let first = same_shape("grid", pictures)?;
        if columns == 0 {
            return Err(DataError::invalid("a grid needs at least one column"));
        }
        let columns = columns.min(pictures.len());
        let rows = pictures.len().div_ceil(columns);
        let side = |cells: usize, size: usize| {
            padding
                .checked_add(size)
                .and_then(|step| step.checked_mul(cells))
                .and_then(|side| side.checked_add(padding))
                .ok_or_else(|| DataError::invalid("the grid's side overflows"))
        };
        let (height, width) = (side(rows, first.height)?, side(columns, first.width)?);
        let mut pixels = vec![255; checked_len(first.channels, height, width)?];
        let row_len = first.width * first.channels;
        for (cell, picture) in pictures.iter().enumerate() {
            let top = padding + cell / columns * (first.height + padding);
            let left = padding + cell % columns * (first.width + padding);
            for (y, row) in picture.pixels.chunks_exact(row_len).enumerate() {
                let start = ((top + y) * width + left) * first.channels;
                pixels[start..start + row_len].copy_from_slice(row);
            }
        }
        Ok(Picture { channels: first.channels, height, width, pixels })
    }

    /// Turns every pixel into a square of `factor` x `factor` pixels.
    ///
    /// # Panics
    /// If `factor` is 0 or the picture grows too large for memory.
    pub fn scaled(&self, factor: usize) -> Picture {
        assert!(factor > 0, "Picture::scaled: factor 0");
        let mut pixels = Vec::with_capacity(self.pixels.len() * factor * factor);
        for row in self.pixels.chunks_exact(self.width * self.channels) {
            let wide: Vec<u8> = row
                .chunks_exact(self.channels)
                .flat_map(|pixel| std::iter::repeat_n(pixel, factor).flatten().copied())
                .collect();
            for _ in 0..factor {
                pixels.extend_from_slice(&wide);
            }
        }
        Picture { channels: self.channels, height: self.height * factor, width: self.width * factor, pixels }
    }
}

/// The byte of a value in [-1, 1]. Values outside are clamped, and NaN becomes 0.
pub(crate) fn byte_of_unit(value: f32) -> u8 {
    // The cast from float to integer saturates.
    ((value + 1.0) * 127.5).round() as u8
}

pub(crate) fn checked_len(channels: usize, height: usize, width: usize) -> Result<usize, DataError> {
    if channels != 1 && channels != 3 {
        return Err(DataError::invalid(format!("a picture has 1 channel (grey) or 3 (RGB), not {channels}")));
    }
    height
        .checked_mul(width)
        .and_then(|plane| plane.checked_mul(channels))
        // Vec's own limit.
        .filter(|&len| len > 0 && len <= isize::MAX as usize)
        .ok_or_else(|| {
            DataError::invalid(format!(
                "a picture of {height} rows and {width} columns is empty or too large"
            ))
        })
}

/// Checks that all pictures have the same shape, and returns the first.
pub(crate) fn same_shape<'a>(what: &str, pictures: &'a [Picture]) -> Result<&'a Picture, DataError> {
    let first = pictures.first().ok_or_else(|| DataError::invalid(format!("no picture for the {what}")))?;
    let shape = |p: &Picture| (p.channels, p.height, p.width);
    match pictures.iter().position(|p| shape(p) != shape(first)) {
        Some(i) => Err(DataError::invalid(format!(
            "the pictures of a {what} have one shape, but (channels, height, width) is {:?} of \
             picture 0 and {:?} of picture {i}",
            shape(first),
            shape(&pictures[i])
        ))),
        None => Ok(first),
    }
}
