//! Checks of a TIFF file before its decoder runs: what kind of image it is, and whether it may be that large.

use image::metadata::Orientation;
use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{PhotometricInterpretation as Meaning, Tag};

use crate::source::Source;

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

/// Looks at the first page.
///
/// # Errors
/// A kind of image, or of packing, that is not read right; tiles of more than `max_pixels`; damage.
pub(crate) fn check(source: Source, max_pixels: u64) -> Result<Page, String> {
    let failed = |error: tiff::TiffError| format!("this TIFF file cannot be read: {error}");
    let mut decoder = Decoder::new(source).map_err(failed)?;
    let mut number = |tag| decoder.find_tag_unsigned::<u16>(tag).map_err(failed);
    let (meaning, samples) = (number(Tag::PhotometricInterpretation)?, number(Tag::SamplesPerPixel)?.unwrap_or(1));
    let packing = packing(number(Tag::Compression)?.unwrap_or(1))?;
    let orientation = number(Tag::Orientation)?.and_then(|n| Orientation::from_exif(u8::try_from(n).ok()?));
    let bits = decoder.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample).map_err(failed)?;
    let bits = bits.and_then(|bits| bits.first().copied()).unwrap_or(1);
    let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(failed)?;
    let format = format.and_then(|format| format.first().copied()).unwrap_or(WHOLE_NUMBERS);
    check_kind(meaning, format, (bits, samples))?;
    if let ChunkType::Tile = decoder.get_chunk_type() {
        let (width, height) = decoder.chunk_dimensions();
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(format!("a TIFF of tiles of {width}x{height} pixels"));
        }
    }
    Ok(Page {
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        packing,
        bits_per_pixel: u64::from(bits) * u64::from(samples),
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
const WHOLE_NUMBERS: u16 = 1;

fn check_kind(meaning: Option<u16>, format: u16, (bits, samples): (u16, u16)) -> Result<(), String> {
    let refuse = |kind: String| Err(format!("a TIFF of {kind}, save it as one of 8 or 16 bits in grey or RGB"));
    match format {
        WHOLE_NUMBERS => {}
        2 => return refuse("numbers with a sign, of which nobody says what black and white are".into()),
        3 => return refuse("numbers with a point, of which nobody says what black and white are".into()),
        _ => return refuse("values that are no real numbers".into()),
    }
    let kind = match meaning.and_then(Meaning::from_u16) {
        Some(Meaning::BlackIsZero | Meaning::WhiteIsZero) if samples > 1 => "grey with transparency".into(),
        Some(Meaning::BlackIsZero | Meaning::WhiteIsZero) if matches!(bits, 1 | 8 | 16) => return Ok(()),
        Some(Meaning::RGB | Meaning::CMYK) if matches!(bits, 8 | 16) => return Ok(()),
        Some(Meaning::RGBPalette) => "a palette".into(),
        Some(Meaning::YCbCr) => "brightness and colour (YCbCr)".into(),
        Some(Meaning::CIELab | Meaning::IccLab | Meaning::ItuLab) => "Lab colours".into(),
        Some(Meaning::TransparencyMask) => "a mask".into(),
        Some(_) => format!("{bits} bits a value"),
        None => "a kind that is not known".into(),
    };
    refuse(kind)
}

fn packing(method: u16) -> Result<Packing, String> {
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
