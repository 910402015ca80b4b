//! An image as a file holds it, of 8 or of 16 bits.

use crate::error::DataError;
use crate::picture::{Picture, checked_len};
use crate::pixels::{Pixels, Sample, either_depth};

/// An image as a file holds it: (height, width, channels), 1 channel (grey) or 3 (RGB), of 8 or of 16 bits.
///
/// [`Picture`] is for people, always of 8 bits; this is for a network, which gets all the bits that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    channels: usize,
    height: usize,
    width: usize,
    pixels: Pixels,
}

impl Raster {
    /// An image of these pixels, (height, width, channels).
    ///
    /// # Errors
    /// Channels other than 1 or 3; a side of 0; a number of pixels that does not fit the sides.
    pub fn new(
        channels: usize,
        height: usize,
        width: usize,
        pixels: impl Into<Pixels>,
    ) -> Result<Self, DataError> {
        let (expected, pixels) = (checked_len(channels, height, width)?, pixels.into());
        if pixels.len() != expected {
            return Err(DataError::invalid(format!(
                "an image of {height} rows, {width} columns and {channels} channels has {expected} values, not {}",
                pixels.len()
            )));
        }
        Ok(Self { channels, height, width, pixels })
    }

    /// 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels, (height, width, channels).
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    pub(crate) fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// The values in [-1, 1], (channels, height, width), as [`Dataset::image`](crate::Dataset::image) has them.
    pub fn to_unit(&self) -> Vec<f32> {
        let planes = self.planes();
        let mut values = vec![0.0; planes.len()];
        planes.as_slice().to_unit(&mut values);
        values
    }

    /// As a picture for people, of 8 bits.
    pub fn into_picture(self) -> Picture {
        let Self { channels, height, width, pixels } = self;
        Picture { channels, height, width, pixels: pixels.into_bytes() }
    }

    /// With 1 channel (the luminance) or 3 channels (grey in each).
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => either_depth!(self.pixels, values => values.iter().flat_map(|&v| [v; 3]).collect()),
            (3, 1) => either_depth!(self.pixels, values => values.chunks_exact(3).map(luminance).collect()),
            _ => return self,
        };
        Self { channels, pixels, ..self }
    }

    /// The pixels, (channels, height, width).
    pub(crate) fn planes(&self) -> Pixels {
        fn planes<T: Sample>(values: &[T], channels: usize) -> Vec<T> {
            (0..channels).flat_map(|c| values.iter().skip(c).step_by(channels)).copied().collect()
        }
        either_depth!(&self.pixels, values => planes(values, self.channels))
    }

    /// With one channel, if no pixel has a colour.
    pub(crate) fn grey_if_colourless(self) -> Self {
        fn is_colourless<T: Sample>(values: &[T]) -> bool {
            values.chunks_exact(3).all(|pixel| pixel[1] == pixel[0] && pixel[2] == pixel[0])
        }
        let colourless = self.channels == 3
            && match &self.pixels {
                Pixels::Eight(values) => is_colourless(values),
                Pixels::Sixteen(values) => is_colourless(values),
            };
        match colourless {
            true => Self {
                channels: 1,
                pixels: either_depth!(self.pixels, values => first_of_three(values)),
                ..self
            },
            false => self,
        }
    }
}

impl From<Picture> for Raster {
    fn from(picture: Picture) -> Self {
        let Picture { channels, height, width, pixels } = picture;
        Self { channels, height, width, pixels: pixels.into() }
    }
}

impl Picture {
    /// The values in [-1, 1], (channels, height, width): the inverse of [`Picture::from_unit`].
    pub fn to_unit(&self) -> Vec<f32> {
        Raster::from(self.clone()).to_unit()
    }
}

/// Rec. 709 luminance of (r, g, b), rounded to the nearest; grey keeps its value.
fn luminance<T: Sample>(rgb: &[T]) -> T {
    let [r, g, b]: [u32; 3] = [rgb[0].into(), rgb[1].into(), rgb[2].into()];
    T::of((2126 * r + 7152 * g + 722 * b + 5000) / 10000)
}

/// The first channel of RGB pixels, in the same memory.
fn first_of_three<T: Sample>(mut pixels: Vec<T>) -> Vec<T> {
    let count = pixels.len() / 3;
    for i in 0..count {
        pixels[i] = pixels[3 * i];
    }
    pixels.truncate(count);
    pixels.shrink_to_fit();
    pixels
}
