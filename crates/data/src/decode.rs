//! From a PNG or JPEG file to a picture: upright, opaque, 8 bits, grey if it has no colour.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbaImage};

use crate::Picture;

/// Longest side of an image that is read.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// Most memory that a decoder may use for one image, and most bytes of its file.
const MAX_BYTES: u64 = 512 << 20;

/// Endings of the files that are read, and of images that cannot be.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];
const NOT_READ: [&str; 11] =
    ["avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jxl", "tif", "tiff", "webp"];

/// Whether a path ends as an image's does, one that can be read or not.
pub(crate) fn is_image_name(path: &Path) -> bool {
    ending(path).is_some_and(|e| READ.contains(&e.as_str()) || NOT_READ.contains(&e.as_str()))
}

/// Width and height of the upright image, from the header alone.
pub(crate) fn size(path: &Path) -> Result<(u32, u32), String> {
    if let Some(other) = ending(path).filter(|e| NOT_READ.contains(&e.as_str())) {
        return Err(format!("{other} is not read, convert it to PNG or JPEG"));
    }
    let there = fs::metadata(path).map_err(|e| e.to_string())?;
    // Opening a pipe would wait for ever.
    if !there.is_file() {
        return Err("not a regular file".into());
    }
    if there.len() > MAX_BYTES {
        return Err(format!("{} bytes, more than {MAX_BYTES}", there.len()));
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let (decoder, orientation) = decoder(BufReader::new(file))?;
    let (width, height) = decoder.dimensions();
    Ok(match is_turned(orientation) {
        true => (height, width),
        false => (width, height),
    })
}

/// The image with its EXIF orientation applied, over white where it is transparent, of 1 channel
/// if no pixel has a colour and of 3 otherwise. Call [`size`] first: it refuses what is no image.
pub(crate) fn picture(path: &Path) -> Result<Picture, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    if is_cut_jpeg(&bytes) {
        return Err("the JPEG data is cut short".into());
    }
    let (decoder, orientation) = decoder(Cursor::new(bytes))?;
    limits().reserve(decoder.total_bytes()).map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    let (height, width) = (image.height() as usize, image.width() as usize);
    let (channels, pixels) = if image.color().has_alpha() {
        (3, over_white(&image.into_rgba8()))
    } else if image.color().has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    let colourless = pixels.chunks_exact(channels).all(|pixel| pixel.iter().all(|&v| v == pixel[0]));
    let picture = Picture::new(channels, height, width, pixels).map_err(|e| e.to_string())?;
    Ok(match colourless {
        true => picture.with_channels(1),
        false => picture,
    })
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

/// A decoder by the file's content, whatever it is called, and how the image is to be turned.
fn decoder<'a, R: BufRead + Seek + 'a>(source: R) -> Result<(impl ImageDecoder + 'a, Orientation), String> {
    let mut reader = ImageReader::new(source).with_guessed_format().map_err(|e| e.to_string())?;
    if reader.format().is_none() {
        return Err("neither a PNG nor a JPEG file".into());
    }
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    Ok((decoder, orientation))
}

fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// RGB of an image laid on white paper.
fn over_white(image: &RgbaImage) -> Vec<u8> {
    image
        .pixels()
        .flat_map(|pixel| {
            let [r, g, b, a] = pixel.0.map(u32::from);
            [r, g, b].map(|v| ((v * a + 255 * (255 - a) + 127) / 255) as u8)
        })
        .collect()
}

/// Whether these bytes are a JPEG file without an end.
///
/// Decoders fill up what is missing with grey, and an image cut by a broken download would go
/// unnoticed. Inside the compressed data the end marker cannot occur, and before it are segments
/// of known length, which may hold a thumbnail with an end marker of its own.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    const START: [u8; 3] = [0xff, 0xd8, 0xff];
    const SCAN: u8 = 0xda;
    const END: [u8; 2] = [0xff, 0xd9];
    if !bytes.starts_with(&START) {
        return false;
    }
    let mut rest = &bytes[2..];
    while let [0xff, marker, tail @ ..] = rest {
        match (marker, tail) {
            (0xff, _) => rest = &rest[1..],
            (&SCAN, _) => break,
            (_, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = tail.get(length..).unwrap_or_default();
            }
            _ => return true,
        }
    }
    !rest.windows(2).any(|pair| pair == END)
}
