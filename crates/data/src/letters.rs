//! The letters of captions: outlines of a font, filled at any size.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::OnceLock;

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use font::glyph::{Contour, Segment};
use font::{Font, Glyph, Offset};

/// A part of DejaVu Sans; `font/README.md` names the part and the authors.
static FILE: &[u8] = include_bytes!("../font/DejaVuSans.ttf");

/// Letters of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letters {
    outlines: &'static Outlines,
    /// The height of the letters' em square, in pixels.
    em: usize,
}

impl Letters {
    /// Letters of `em` pixels. A capital letter is about three quarters as high.
    pub(crate) fn new(em: usize) -> Self {
        static OUTLINES: OnceLock<Outlines> = OnceLock::new();
        let outlines = OUTLINES.get_or_init(|| Outlines::read().expect("the embedded font is whole"));
        Self { outlines, em }
    }

    /// The distance between the tops of two lines, in pixels.
    pub(crate) fn line(&self) -> usize {
        (self.em * 6).div_ceil(5)
    }

    /// The width of a text in pixels.
    pub(crate) fn width(&self, text: &str) -> f32 {
        self.width_after(0.0, text)
    }

    /// The width of a line of width `before` after this text is added.
    pub(crate) fn width_after(&self, before: f32, text: &str) -> f32 {
        text.chars().fold(before, |width, letter| width + self.advance(letter))
    }

    fn advance(&self, letter: char) -> f32 {
        self.outlines.glyph(letter).advance_width * self.scale()
    }

    /// Fills the letters of a line whose top left corner is at (`top`, `left`). `ink` gets the row, the
    /// column and the covered share of that pixel, above 0 and at most 1. A mark may lie to the left of its
    /// letter.
    pub(crate) fn draw(&self, text: &str, top: usize, left: usize, mut ink: impl FnMut(isize, isize, f32)) {
        // Accents of capital letters and parts below the baseline stay inside the line.
        let baseline = top as f32 + (0.93 * self.em as f32).round();
        let mut x = left as f32;
        for letter in text.chars() {
            fill(self.outlines.glyph(letter), self.scale(), point(x, baseline), &mut ink);
            x += self.advance(letter);
        }
    }

    fn scale(&self) -> f32 {
        self.em as f32 / self.outlines.units_per_em
    }
}

/// Every outline of the font.
#[derive(Debug)]
struct Outlines {
    units_per_em: f32,
    glyphs: BTreeMap<char, Glyph>,
    /// The glyph for a letter that the font lacks.
    missing: Glyph,
}

impl Outlines {
    fn read() -> io::Result<Self> {
        let mut fonts = font::File::read(Cursor::new(FILE))?.fonts;
        let font = fonts.first_mut().ok_or(io::ErrorKind::InvalidData)?;
        let units_per_em = font.metrics()?.granularity;
        let mut glyphs = BTreeMap::new();
        for letter in letters_of(font)? {
            glyphs.extend(font.glyph(letter)?.map(|glyph| (letter, glyph)));
        }
        Ok(Self { units_per_em, glyphs, missing: empty_box(units_per_em) })
    }

    fn glyph(&self, letter: char) -> &Glyph {
        self.glyphs.get(&letter).unwrap_or(&self.missing)
    }
}

fn letters_of(font: &mut Font<Cursor<&[u8]>>) -> io::Result<Vec<char>> {
    use font::characters::Character;
    let ranges = font.characters()?.into_iter().map(|range| match range {
        Character::Scalar(letter) => letter..=letter,
        Character::Range((first, last)) => first..=last,
    });
    Ok(ranges.flatten().collect())
}

/// The frame of a box as high as a capital.
fn empty_box(units_per_em: f32) -> Glyph {
    let [left, right, top, line] = [0.08, 0.54, 0.73, 0.06].map(|part| part * units_per_em);
    // The two outlines have opposite directions, so that the inside stays empty.
    let outer = [(left, 0.0), (left, top), (right, top), (right, 0.0)];
    let inner =
        [(left + line, line), (right - line, line), (right - line, top - line), (left + line, top - line)];
    let contour = |corners: [(f32, f32); 4]| {
        let corners = corners.map(|(x, y)| Offset(x, y));
        let sides = (1..5).map(|i| Segment::Linear(corners[i % 4] - corners[i - 1]));
        Contour { position: corners[0], segments: sides.collect(), ..Contour::default() }
    };
    Glyph {
        advance_width: left + right,
        bounding_box: (left, 0.0, right, top),
        contours: vec![contour(outer), contour(inner)],
        ..Glyph::default()
    }
}

/// Fills an outline whose origin is at `origin`, in pixels from the top left.
fn fill(glyph: &Glyph, scale: f32, origin: Point, ink: &mut impl FnMut(isize, isize, f32)) {
    if glyph.contours.is_empty() {
        return;
    }
    let at = |offset: Offset| point(origin.x + offset.0 * scale, origin.y - offset.1 * scale);
    let (left, bottom, right, top) = glyph.bounding_box;
    let (first, last) = (at(Offset(left, top)), at(Offset(right, bottom)));
    // One more pixel on each side, because the rasteriser accepts nothing outside its area.
    let corner = point(first.x.floor() - 1.0, first.y.floor() - 1.0);
    let (width, height) = (last.x.ceil() + 1.0 - corner.x, last.y.ceil() + 1.0 - corner.y);
    let mut raster = Rasterizer::new(width as usize, height as usize);
    for contour in &glyph.contours {
        let mut end = contour.position;
        let place = |offset| at(offset) - corner;
        for segment in &contour.segments {
            let start = end;
            match *segment {
                Segment::Linear(to) => {
                    end += to;
                    raster.draw_line(place(start), place(end));
                }
                Segment::Quadratic(control, to) => {
                    end = start + control + to;
                    raster.draw_quad(place(start), place(start + control), place(end));
                }
                Segment::Cubic(first, second, to) => {
                    let (first, second) = (start + first, start + first + second);
                    end = second + to;
                    raster.draw_cubic(place(start), place(first), place(second), place(end));
                }
            }
        }
    }
    raster.for_each_pixel_2d(|x, y, covered| {
        if covered > 0.0 {
            ink(corner.y as isize + y as isize, corner.x as isize + x as isize, covered.min(1.0));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_the_font_is_drawn_within_its_line() {
        let letters = Letters::new(20);
        assert!(letters.outlines.glyphs.len() > 1500);
        for (&letter, glyph) in &letters.outlines.glyphs {
            let mut covered = 0.0;
            letters.draw(&letter.to_string(), 100, 100, |y, x, part| {
                assert!((85..140).contains(&y) && (70..140).contains(&x), "{letter:?} covers {y}, {x}");
                covered += part;
            });
            assert_eq!(covered > 0.0, !glyph.contours.is_empty(), "{letter:?}");
        }
    }

    #[test]
    fn a_letter_covers_what_its_outline_encloses() {
        // A full stop is a rectangle of 211 by 254 units in 2048.
        let mut covered = 0.0;
        Letters::new(2048).draw(".", 0, 0, |_, _, part| covered += part);
        assert!((covered / (211.0 * 254.0) - 1.0).abs() < 0.01, "{covered}");
    }

    #[test]
    fn what_captions_name_is_there() {
        let text = "AZaz09 ×÷±·−–—…≈≤≥∞√∑ᾱαβγΔΛλμσΩ x̂₀ ε̃ é ß Å ő ч ← → ✓";
        for letter in text.chars() {
            assert!(Letters::new(9).outlines.glyphs.contains_key(&letter), "{letter:?}");
        }
    }

    #[test]
    fn a_letter_that_the_font_lacks_is_a_box() {
        let letters = Letters::new(20);
        let drawn = |text: &str| {
            let mut pixels = Vec::new();
            letters.draw(text, 0, 0, |y, x, part| pixels.push((y, x, part.to_bits())));
            pixels
        };
        assert!(!drawn("ぁ").is_empty());
        assert_eq!(drawn("ぁ"), drawn("\u{7}"));
        assert!(letters.width("ぁ") > 8.0);
        // It has an inside.
        assert!(!drawn("ぁ").iter().any(|&(y, x, _)| (y, x) == (11, 6)));
    }
}
