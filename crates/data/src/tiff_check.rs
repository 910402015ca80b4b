//! Checks of a TIFF file before its decoder runs: what kind of image it is, and whether it may be that large.

use image::metadata::Orientation;

use crate::input::Input;
use crate::tiff_directory::Directory;

/// Tags, by their numbers in the format.
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const MEANING: u16 = 262;
const ORIENTATION: u16 = 274;
const SAMPLES: u16 = 277;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const FORMAT: u16 = 339;

/// What the first page of a file is.
pub(crate) struct Page {
    pub orientation: Orientation,
    packing: Packing,
    bits_per_pixel: u64,
}

/// How the pixels are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// At best, so many bytes become one.
    Ratio(u64),
    /// In blocks of 8x8 pixels.
    Jpeg,
}

/// Looks at the first page of a file of `length` bytes.
///
/// # Errors
/// A kind of image, or of packing, that is not read right; tiles of more than `max_pixels`; damage.
pub(crate) fn check(input: &mut Input, length: u64, max_pixels: u64) -> Result<Page, String> {
    let directory = Directory::read(input, length)?;
    let mut number = |tag| directory.number(tag, input);
    let packing = packing(number(COMPRESSION)?.unwrap_or(1))?;
    let orientation = number(ORIENTATION)?.and_then(|n| Orientation::from_exif(u8::try_from(n).ok()?));
    let (bits, samples) = (number(BITS)?.unwrap_or(1), number(SAMPLES)?.unwrap_or(1));
    check_kind(number(MEANING)?, number(FORMAT)?.unwrap_or(WHOLE_NUMBERS), (bits, samples))?;
    let (width, height) = (number(TILE_WIDTH)?.unwrap_or(0), number(TILE_HEIGHT)?.unwrap_or(0));
    if width.saturating_mul(height) > max_pixels {
        return Err(format!("a TIFF of tiles of {width}x{height} pixels"));
    }
    Ok(Page {
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        packing,
        bits_per_pixel: bits.saturating_mul(samples),
    })
}

impl Page {
    /// The least number of bytes of this many pixels.
    pub(crate) fn fewest_bytes(&self, (width, height): (u32, u32)) -> u64 {
        match self.packing {
            Packing::Jpeg => crate::jpeg::fewest_bytes((width, height)),
            Packing::Ratio(ratio) => {
                (u64::from(width) * u64::from(height)).saturating_mul(self.bits_per_pixel) / 8 / ratio
            }
        }
    }
}

/// The sample format of whole numbers without a sign.
const WHOLE_NUMBERS: u64 = 1;

fn check_kind(meaning: Option<u64>, format: u64, (bits, samples): (u64, u64)) -> Result<(), String> {
    let refuse = |kind: &str| Err(format!("a TIFF of {kind}, save it as one of 8 or 16 bits in grey or RGB"));
    match format {
        WHOLE_NUMBERS => {}
        2 => return refuse("numbers with a sign, of which nobody says what black and white are"),
        3 => return refuse("numbers with a point, of which nobody says what black and white are"),
        _ => return refuse("values that are no real numbers"),
    }
    // Grey with white or with black as 0, RGB, a palette, a mask, inks, brightness and colour, Lab.
    match meaning {
        Some(0 | 1) if samples > 1 => refuse("grey with transparency"),
        Some(0 | 1) if matches!(bits, 1 | 8 | 16) => Ok(()),
        Some(2 | 5) if matches!(bits, 8 | 16) => Ok(()),
        Some(3) => refuse("a palette"),
        Some(4) => refuse("a mask"),
        Some(6) => refuse("brightness and colour (YCbCr)"),
        Some(8..=10) => refuse("Lab colours"),
        Some(0..=2 | 5) => refuse(&format!("{bits} bits a value")),
        _ => refuse("a kind that is not known"),
    }
}

fn packing(method: u64) -> Result<Packing, String> {
    match method {
        1 => Ok(Packing::Ratio(1)),
        // LZW: a code of 12 bits stands for 4094 bytes at most.
        5 => Ok(Packing::Ratio(4094)),
        // Deflate: 258 bytes in two bits.
        8 | 32946 => Ok(Packing::Ratio(258 * 4)),
        // PackBits: 128 bytes in two.
        32773 => Ok(Packing::Ratio(64)),
        7 => Ok(Packing::Jpeg),
        2..=4 => Err("a TIFF packed as a fax, save it without that".into()),
        method => Err(format!("a TIFF packed by method {method}, save it unpacked or with LZW or Deflate")),
    }
}
