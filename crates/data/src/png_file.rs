//! PNG files of pictures, and the texts in them.

use std::io::Cursor;
use std::path::Path;

use crate::error::DataError;
use crate::picture::Picture;
use crate::{atomic, png_check};

impl Picture {
    /// The picture as a PNG file of 8 bits a channel.
    ///
    /// # Panics
    /// If a side is above 2^31 - 1, the format's limit.
    pub fn encode_png(&self) -> Vec<u8> {
        self.encode_png_with(&[])
    }

    /// As [`Picture::encode_png`], with texts by keyword. They become PNG's international text chunks
    /// before the pixels.
    ///
    /// # Panics
    /// As [`Picture::encode_png`]; also unless each keyword has 1 to 79 letters of Latin-1.
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

    /// Writes the picture as a PNG file. It writes a temporary sibling and renames it to `path`, so that
    /// nobody ever sees a half-written file.
    ///
    /// # Errors
    /// [`DataError::Write`] if the operating system refuses. A missing directory is not created.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        atomic::write(path.as_ref(), &self.encode_png())
    }

    /// As [`Picture::write_png`], with texts by keyword; [`texts_of_png`] reads them.
    ///
    /// # Errors
    /// As [`Picture::write_png`].
    pub fn write_png_with(&self, path: impl AsRef<Path>, texts: &[(&str, String)]) -> Result<(), DataError> {
        atomic::write(path.as_ref(), &self.encode_png_with(texts))
    }
}

/// The largest number of bytes of text that are read from a PNG file.
const MAX_TEXT: usize = 1 << 20;

/// The texts that [`Picture::write_png_with`] wrote into a PNG file, by keyword.
///
/// # Errors
/// Bytes that are not a whole PNG file; more than 1 MiB of text.
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
        // The decoder's limit holds for compressed text; this one holds for the unpacked text.
        chunk.decompress_text_with_limit(left + 1).map_err(|error| refuse(error.to_string()))?;
        let text = chunk.get_text().map_err(|error| refuse(error.to_string()))?;
        left = left
            .checked_sub(text.len())
            .ok_or_else(|| refuse(format!("more than {MAX_TEXT} bytes of text")))?;
        Ok((chunk.keyword, text))
    };
    reader.info().utf8_text.iter().map(text).collect()
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
