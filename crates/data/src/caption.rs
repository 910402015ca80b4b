//! Captions of pictures: a title, and the names of a grid's rows and columns.

use crate::error::DataError;
use crate::letters::Letters;
use crate::picture::{Picture, checked_len};
use crate::raster::Raster;
use crate::wrap::{widest_piece, wrapped};

/// The size of the smallest letters in a column's name, in pixels. Narrower columns have smaller letters.
const SMALLEST: usize = 10;
/// The width at which a row's name is wrapped, in ems.
const ROW_EMS: usize = 16;
/// The least width of a title in ems, even for a narrow grid.
const TITLE_EMS: usize = 12;

/// The texts around a grid. An empty text or list writes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captions {
    /// The title at the top, wrapped at the picture's width.
    pub title: String,
    /// The names to the left of the rows. Long names are wrapped if the rows are high enough.
    pub rows: Vec<String>,
    /// The names above the columns, wrapped at a column's width.
    pub columns: Vec<String>,
}

impl Picture {
    /// [`Picture::grid`] with each pixel `scale` wide and with captions in black on white.
    ///
    /// The grid is at the bottom, to the right of the rows' names. If the title is wider than the grid, the
    /// picture is white to the right of the grid. Letters are `11 + scale` pixels high. The font has Latin,
    /// Greek and Cyrillic letters and mathematical signs; other letters show as an empty box.
    ///
    /// # Errors
    /// As [`Picture::grid`]; a scale of 0; a picture that is too large.
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
        let em = 11 + scale;
        let margin = em / 3;

        let (columns, rows) = (columns.min(pictures.len()), pictures.len().div_ceil(columns));
        let rows = row_names(&captions.rows[..captions.rows.len().min(rows)], cell_height, em);
        let left = rows.iter().map(|name| name.width() + 2 * margin).max().unwrap_or(0);
        let names = column_names(&captions.columns[..captions.columns.len().min(columns)], cell_width, em);
        let names_height = names.iter().map(|name| name.height() + margin).max().unwrap_or(0);

        let (mut width, mut title_height) = (left + grid.width, 0);
        let mut title = CaptionBlock::default();
        if !captions.title.is_empty() {
            width = width.max(TITLE_EMS * em + 2 * margin);
            title = CaptionBlock::new(&captions.title, Letters::new(em), width - 2 * margin);
            title_height = title.height() + margin + margin / 2;
        }

        let top = title_height + names_height;
        let mut picture = blank(grid.channels, top + grid.height, width)?;
        picture.put(&grid, top, left);
        picture.write(&title, margin, |_| margin);
        for (i, name) in names.iter().enumerate() {
            let middle = left + i * cell_width + (cell_width + padding * scale) / 2;
            picture.write(name, top - name.height(), |width| middle.saturating_sub(width / 2));
        }
        for (i, name) in rows.iter().enumerate() {
            let above = cell_height.saturating_sub(name.height()) / 2;
            picture.write(name, top + i * cell_height + above, |width| left - margin - width);
        }
        Ok(picture)
    }

    /// This picture and another one side by side, aligned at the top, with `gap` white pixels between them.
    ///
    /// # Errors
    /// Different channels; a picture that is too large.
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
    /// Channels other than 1 and 3; sides smaller than the picture's; a picture that is too large.
    pub fn padded(&self, channels: usize, height: usize, width: usize) -> Result<Picture, DataError> {
        if height < self.height || width < self.width {
            let (h, w) = (self.height, self.width);
            return Err(DataError::invalid(format!("{h}x{w} does not fit into {height}x{width}")));
        }
        let mut picture = blank(channels, height, width)?;
        picture.put(&Raster::from(self.clone()).with_channels(channels).into_picture(), 0, 0);
        Ok(picture)
    }

    fn put(&mut self, other: &Picture, top: usize, left: usize) {
        let row_len = other.width * other.channels;
        for (y, row) in other.pixels.chunks_exact(row_len).enumerate() {
            let start = ((top + y) * self.width + left) * self.channels;
            self.pixels[start..start + row_len].copy_from_slice(row);
        }
    }

    /// Writes lines downwards from `top`. `left` gives the first column of a line from the line's width.
    fn write(&mut self, block: &CaptionBlock, top: usize, left: impl Fn(usize) -> usize) {
        let Some(letters) = block.letters else { return };
        for (i, line) in block.lines.iter().enumerate() {
            let left = left(letters.width(line).ceil() as usize);
            letters.draw(line, top + i * letters.line(), left, |y, x, covered| self.darken(y, x, covered));
        }
    }

    /// Removes the part of a pixel's light that ink covers. It ignores pixels outside the picture.
    fn darken(&mut self, y: isize, x: isize, covered: f32) {
        let (Ok(y), Ok(x)) = (usize::try_from(y), usize::try_from(x)) else { return };
        if y < self.height && x < self.width {
            let start = (y * self.width + x) * self.channels;
            for value in &mut self.pixels[start..start + self.channels] {
                *value = (f32::from(*value) * (1.0 - covered)).round() as u8;
            }
        }
    }
}

/// A text in lines.
#[derive(Debug, Default)]
struct CaptionBlock {
    /// None for an empty text.
    letters: Option<Letters>,
    lines: Vec<String>,
}

impl CaptionBlock {
    fn new(text: &str, letters: Letters, width: usize) -> Self {
        Self { letters: Some(letters), lines: wrapped(text, &letters, width as f32) }
    }

    fn height(&self) -> usize {
        self.lines.len() * self.letters.map_or(0, |letters| letters.line())
    }

    fn width(&self) -> usize {
        let width = |line: &String| self.letters.map_or(0.0, |letters| letters.width(line));
        self.lines.iter().map(width).fold(0.0, f32::max).ceil() as usize
    }
}

/// The rows' names, each at most as high as its row. A name is one line up to a limit of width; a longer
/// one is wrapped into as many lines as fit into a row.
fn row_names(names: &[String], height: usize, em: usize) -> Vec<CaptionBlock> {
    let letters = Letters::new(em.min(height * 4 / 5).max(1));
    let room = (height / letters.line()).max(1);
    let blocks = |width| names.iter().map(|name| CaptionBlock::new(name, letters, width)).collect::<Vec<_>>();
    let fits = |width| blocks(width).iter().all(|block| block.lines.len() <= room);
    let longest = blocks(usize::MAX).iter().map(CaptionBlock::width).max().unwrap_or(0);
    // The least width that fits lies between these two.
    let (mut low, mut high) = (longest.min(ROW_EMS * em), longest);
    while low < high {
        let middle = low.midpoint(high);
        match fits(middle) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    blocks(high)
}

/// The columns' names. The letters are made smaller if whole words then fit.
fn column_names(names: &[String], width: usize, em: usize) -> Vec<CaptionBlock> {
    let width = width.saturating_sub(1 + em / 8);
    let fits = |em: &usize| {
        let letters = Letters::new(*em);
        names.iter().all(|name| widest_piece(name, &letters) <= width as f32)
    };
    let smallest = SMALLEST.min(em);
    let em = (smallest..=em).rev().find(fits).unwrap_or(smallest);
    let letters = Letters::new(em.min(width).max(1));
    names.iter().map(|name| CaptionBlock::new(name, letters, width)).collect()
}

fn blank(channels: usize, height: usize, width: usize) -> Result<Picture, DataError> {
    let length = checked_len(channels, height, width)?;
    Picture::new(channels, height, width, vec![255; length])
}
