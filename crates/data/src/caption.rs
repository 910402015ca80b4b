//! Words on pictures: a title, and names of the rows and columns of a grid.

use font8x8::UnicodeFonts;

use crate::error::DataError;
use crate::picture::{Picture, checked_len};

/// Height and width of a letter, in pixels.
const LETTER: usize = 8;
/// White pixels around words.
const MARGIN: usize = 4;
/// Rows' names are cut to so many letters.
const LONGEST: usize = 24;

/// What is written around a grid; nothing where a text or a list is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captions {
    /// Above everything, cut to the picture's width.
    pub title: String,
    /// To the left of each row, cut to 24 letters.
    pub rows: Vec<String>,
    /// Above each column, cut to its width.
    pub columns: Vec<String>,
}

impl Picture {
    /// [`Picture::grid`] with each pixel `scale` wide and with captions in black on white.
    ///
    /// Letters are those of Unicode's Latin, Greek and Japanese syllables; others show as `?`.
    ///
    /// # Errors
    /// As [`Picture::grid`]; a scale of 0; a picture too large.
    pub fn captioned_grid(
        pictures: &[Picture],
        columns: usize,
        scale: usize,
        captions: &Captions,
    ) -> Result<Picture, DataError> {
        if scale == 0 {
            return Err(DataError::invalid("a grid's scale is at least 1"));
        }
        let padding = 1;
        let grid = Picture::grid(pictures, columns, padding)?.scaled(scale);
        let cell = |size: usize| (size + padding) * scale;
        let (cell_height, cell_width) = (cell(pictures[0].height), cell(pictures[0].width));
        let line = LETTER + 2 * MARGIN;
        let title_height = if captions.title.is_empty() { 0 } else { line };
        let top = title_height + if captions.columns.is_empty() { 0 } else { line };
        let longest = captions.rows.iter().map(|name| name.chars().count().min(LONGEST)).max();
        let left = longest.map_or(0, |letters| letters * LETTER + 2 * MARGIN);
        let mut picture = blank(grid.channels, top + grid.height, left + grid.width)?;
        picture.put(&grid, top, left);
        picture.write(&captions.title, MARGIN, MARGIN, picture.width);
        for (i, name) in captions.columns.iter().enumerate() {
            let start = left + i * cell_width;
            let end = (start + cell_width).min(picture.width);
            picture.write(name, title_height + MARGIN, start + MARGIN.min(cell_width), end);
        }
        for (i, name) in captions.rows.iter().enumerate() {
            let middle = top + i * cell_height + cell_height / 2;
            let name: String = name.chars().take(LONGEST).collect();
            picture.write(&name, middle.saturating_sub(LETTER / 2), MARGIN, left);
        }
        Ok(picture)
    }

    /// This picture and another beside it, at the same height from the top, `gap` white pixels apart.
    ///
    /// # Errors
    /// Different channels, or a picture too large.
    pub fn beside(&self, other: &Picture, gap: usize) -> Result<Picture, DataError> {
        if self.channels != other.channels {
            let (a, b) = (self.channels, other.channels);
            return Err(DataError::invalid(format!("pictures of {a} and {b} channels beside each other")));
        }
        let width = self.width + gap + other.width;
        let mut picture = blank(self.channels, self.height.max(other.height), width)?;
        picture.put(self, 0, 0);
        picture.put(other, 0, self.width + gap);
        Ok(picture)
    }

    /// The picture in the top left corner of a larger white one.
    ///
    /// # Errors
    /// Channels other than 1 and 3, sides smaller than the picture's, or a picture too large.
    pub fn padded(&self, channels: usize, height: usize, width: usize) -> Result<Picture, DataError> {
        if height < self.height || width < self.width {
            let (h, w) = (self.height, self.width);
            return Err(DataError::invalid(format!("{h}x{w} does not fit into {height}x{width}")));
        }
        let mut picture = blank(channels, height, width)?;
        picture.put(&self.clone().with_channels(channels), 0, 0);
        Ok(picture)
    }

    fn put(&mut self, other: &Picture, top: usize, left: usize) {
        let row_len = other.width * other.channels;
        for (y, row) in other.pixels.chunks_exact(row_len).enumerate() {
            let start = ((top + y) * self.width + left) * self.channels;
            self.pixels[start..start + row_len].copy_from_slice(row);
        }
    }

    /// Writes as many letters as end before column `end`.
    fn write(&mut self, text: &str, top: usize, left: usize, end: usize) {
        for (k, letter) in text.chars().enumerate() {
            let x = left + k * LETTER;
            if x + LETTER > end.min(self.width) || top + LETTER > self.height {
                return;
            }
            for (y, bits) in glyph(letter).into_iter().enumerate() {
                for dx in (0..LETTER).filter(|dx| bits >> dx & 1 == 1) {
                    let start = ((top + y) * self.width + x + dx) * self.channels;
                    self.pixels[start..start + self.channels].fill(0);
                }
            }
        }
    }
}

fn blank(channels: usize, height: usize, width: usize) -> Result<Picture, DataError> {
    let length = checked_len(channels, height, width)?;
    Picture::new(channels, height, width, vec![255; length])
}

/// Eight rows, the lowest bit at the left.
fn glyph(letter: char) -> [u8; LETTER] {
    let fonts = [
        font8x8::BASIC_FONTS.get(letter),
        font8x8::LATIN_FONTS.get(letter),
        font8x8::GREEK_FONTS.get(letter),
        font8x8::HIRAGANA_FONTS.get(letter),
    ];
    let unknown = || font8x8::BASIC_FONTS.get('?').unwrap_or_default();
    fonts.into_iter().flatten().next().unwrap_or_else(unknown)
}
