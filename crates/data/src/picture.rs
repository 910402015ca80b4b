//! A picture for people: bytes, rows from the top, and the PNG file it becomes.

use std::io::Cursor;
use std::path::Path;

use crate::{DataError, FolderOptions, MAX_PIXELS, atomic, decode, fit, png_check};

/// An image as files hold it: u8, (height, width, channels), 1 channel (grey) or 3 (RGB).
///
/// The fields are public and every method relies on
/// `pixels.len() == height * width * channels` with both sides above 0; [`Picture::new`] checks
/// that, and the other constructors keep to it. Methods panic on a picture that breaks it.
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
    /// Channels other than 1 or 3, an empty side, or another number of pixels than the sides say.
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

    /// The picture of a PNG or JPEG file in memory, as [`open()`](crate::open()) reads one: upright
    /// by its EXIF orientation, 8 bits, laid on white where it is transparent, 1 channel if no pixel
    /// has a colour and 3 otherwise.
    ///
    /// # Errors
    /// Another format, damage, a side above 16384, more than [`MAX_PIXELS`], a header of more pixels than
    /// the bytes can hold.
    pub fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
        decode::from_bytes(bytes, MAX_PIXELS)
            .map_err(|cause| DataError::invalid(format!("this image cannot be used: {cause}")))
    }

    /// The same of a file.
    ///
    /// # Errors
    /// As [`Picture::decode`], with the file's name; also what is no regular file, such as a pipe.
    pub fn read(path: &Path) -> Result<Picture, DataError> {
        let header = decode::header(path, MAX_PIXELS);
        header.and_then(|_| decode::picture(path, MAX_PIXELS)).map_err(|cause| {
            DataError::malformed(
                path,
                format!("this image cannot be used: {cause}"),
                "use a PNG or JPEG file",
            )
        })
    }

    /// A picture of `values` in [-1, 1], (channels, height, width): `round((v + 1) * 127.5)`.
    ///
    /// Values outside are clamped, infinite ones too; NaN becomes 0, which is black.
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
                // A float becomes an integer by saturation, and NaN becomes 0.
                *out = ((values[c * plane + i] + 1.0) * 127.5).round() as u8;
            }
        }
        Picture { channels, height, width, pixels }
    }

    /// The pictures row by row in a grid of `columns`, with `padding` white pixels between them
    /// and around. Cells left over in the last row are white. With fewer pictures than columns
    /// the grid is as wide as there are pictures.
    ///
    /// # Errors
    /// No pictures, no columns, pictures that differ in size or channels, or a grid too large.
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

    /// Every pixel as a square of `factor` x `factor`.
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

    /// The picture as a PNG file of 8 bits a channel.
    ///
    /// # Panics
    /// If a side is above 2^31 - 1, the format's limit.
    pub fn encode_png(&self) -> Vec<u8> {
        self.encode_png_with(&[])
    }

    /// The same with texts by keyword, as PNG's international text chunks before the pixels.
    ///
    /// # Panics
    /// As [`Picture::encode_png`], and unless each keyword is 1 to 79 letters of Latin-1.
    pub fn encode_png_with(&self, texts: &[(&str, String)]) -> Vec<u8> {
        let (width, height) = png_sides(self);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png_color(self));
        encoder.set_depth(png::BitDepth::Eight);
        for (keyword, text) in texts {
            encoder
                .add_itxt_chunk((*keyword).into(), text.clone())
                .expect("the number of texts is not limited");
        }
        encoder
            .write_header()
            .and_then(|mut writer| {
                writer.write_image_data(&self.pixels)?;
                writer.finish()
            })
            .expect("a valid picture encodes, and memory takes what is written");
        bytes
    }

    /// Writes the picture as a PNG file: to a temporary sibling that is then renamed to `path`,
    /// so that a half-written file is never there.
    ///
    /// # Errors
    /// [`DataError::Write`] when the operating system refuses; the directory is not created.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        atomic::write(path.as_ref(), &self.encode_png())
    }

    /// The same with texts by keyword; [`texts_of_png`] reads them.
    ///
    /// # Errors
    /// As [`Picture::write_png`].
    pub fn write_png_with(&self, path: impl AsRef<Path>, texts: &[(&str, String)]) -> Result<(), DataError> {
        atomic::write(path.as_ref(), &self.encode_png_with(texts))
    }

    /// The middle square of the picture as `size` x `size` pixels of `channels`, as
    /// [`open()`](crate::open()) makes them with [`FolderOptions`].
    ///
    /// # Errors
    /// Channels other than 1 and 3, a size of 0 or above 16384.
    pub fn fitted(self, channels: usize, size: usize) -> Result<Picture, DataError> {
        let (image_size, channels_wanted) = (Some(size), Some(channels));
        fit::check(&FolderOptions { image_size, channels: channels_wanted, ..FolderOptions::default() })?;
        Ok(fit::picture_of(self, Some(size)).with_channels(channels))
    }

    /// The values in [-1, 1], (channels, height, width): the inverse of [`Picture::from_unit`].
    pub fn to_unit(&self) -> Vec<f32> {
        let mut planes = Vec::with_capacity(self.pixels.len());
        fit::append_planes(self, &mut planes);
        planes.into_iter().map(|pixel| f32::from(pixel) / 127.5 - 1.0).collect()
    }

    /// The same picture with 1 channel (the luminance) or 3 (grey in each).
    pub(crate) fn with_channels(self, channels: usize) -> Picture {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luminance).collect(),
            _ => return self,
        };
        Picture { channels, pixels, ..self }
    }
}

/// Most bytes of text that are read of a PNG file.
const MAX_TEXT: usize = 1 << 20;

/// The texts that [`Picture::write_png_with`] wrote into a PNG file, by keyword.
///
/// # Errors
/// Bytes that are no whole PNG file; more than a mebibyte of text.
pub fn texts_of_png(bytes: &[u8]) -> Result<Vec<(String, String)>, DataError> {
    let refuse = |cause: String| DataError::invalid(format!("this PNG file cannot be read: {cause}"));
    if !bytes.starts_with(&png_check::START) {
        return Err(refuse("it does not begin as one".into()));
    }
    png_check::check_palette(bytes).map_err(refuse)?;
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_TEXT });
    decoder.set_ignore_text_chunk(false);
    let reader = decoder.read_info().map_err(|error| refuse(error.to_string()))?;
    let mut left = MAX_TEXT;
    let text = |chunk: &png::text_metadata::ITXtChunk| {
        let mut chunk = chunk.clone();
        // The limit of the decoder holds for what is compressed; this one for what comes of it.
        chunk.decompress_text_with_limit(left + 1).map_err(|error| refuse(error.to_string()))?;
        let text = chunk.get_text().map_err(|error| refuse(error.to_string()))?;
        left = left
            .checked_sub(text.len())
            .ok_or_else(|| refuse(format!("more than {MAX_TEXT} bytes of text")))?;
        Ok((chunk.keyword, text))
    };
    reader.info().utf8_text.iter().map(text).collect()
}

/// Rec. 709 luminance of (r, g, b), rounded to the nearest; grey keeps its value.
fn luminance(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((2126 * r + 7152 * g + 722 * b + 5000) / 10000) as u8
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

/// The first of some pictures that all have its shape.
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

pub(crate) fn png_color(picture: &Picture) -> png::ColorType {
    match picture.channels {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    }
}

/// Width and height as PNG counts them.
pub(crate) fn png_sides(picture: &Picture) -> (u32, u32) {
    let side = |n: usize| u32::try_from(n).expect("a PNG's side is below 2^31");
    (side(picture.width), side(picture.height))
}
