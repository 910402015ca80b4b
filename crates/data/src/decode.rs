//! From a PNG or JPEG file to a picture: upright, opaque, 8 bits, grey if it has no colour.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbaImage};

use crate::{Picture, jpeg, png_check};

/// Longest side of an image that is read.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// Most bytes of one unpacked image, and most bytes of its file.
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
    let (decoder, orientation) = decoder(BufReader::new(file), there.len())?;
    let (width, height) = decoder.dimensions();
    Ok(match is_turned(orientation) {
        true => (height, width),
        false => (width, height),
    })
}

/// The picture of a file, as [`from_bytes`] says. Call [`size`] first: it refuses what is no image.
pub(crate) fn picture(path: &Path) -> Result<Picture, String> {
    from_bytes(&fs::read(path).map_err(|e| e.to_string())?)
}

/// The image with its EXIF orientation applied, over white where it is transparent, of 1 channel
/// if no pixel has a colour and of 3 otherwise.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Picture, String> {
    // The decoders are other people's: a mistake in one is to cost one file and not the whole run.
    panic::catch_unwind(|| decoded(bytes)).unwrap_or_else(|cause| {
        let message = cause.downcast_ref::<String>().map(String::as_str);
        let message = message.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("its decoder panicked on it: {message}"))
    })
}

fn decoded(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.starts_with(&png_check::START) {
        png_check::check_palette(bytes)?;
    }
    let (decoder, orientation) = decoder(Cursor::new(bytes), bytes.len() as u64)?;
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
/// `length` is the file's, which bounds the pixels that can be in it.
fn decoder<'a, R: BufRead + Seek + 'a>(
    mut source: R,
    length: u64,
) -> Result<(Box<dyn ImageDecoder + 'a>, Orientation), String> {
    let start = source.fill_buf().map_err(|e| e.to_string())?;
    let (mut decoder, fewest_bytes) = if start.starts_with(&png_check::START) {
        let bits_per_pixel = png_check::bits_per_pixel(start);
        let decoder = limited(source, ImageFormat::Png)?;
        let bits_per_pixel = bits_per_pixel.ok_or("the PNG data is cut short")?;
        let fewest_bytes = png_check::fewest_bytes(decoder.dimensions(), bits_per_pixel);
        (decoder, fewest_bytes)
    } else if start.starts_with(&jpeg::START) {
        // Its decoder would read all of it anyway.
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        jpeg::check(&bytes)?;
        let decoder = limited(Cursor::new(bytes), ImageFormat::Jpeg)?;
        let fewest_bytes = jpeg::fewest_bytes(decoder.dimensions());
        (decoder, fewest_bytes)
    } else {
        return Err(not_an_image(start));
    };
    // Memory is taken for what the header claims.
    if length < fewest_bytes {
        let (width, height) = decoder.dimensions();
        return Err(format!("{length} bytes cannot hold the {width}x{height} pixels of the header"));
    }
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    Ok((decoder, orientation))
}

fn limited<'a, R: BufRead + Seek + 'a>(
    source: R,
    format: ImageFormat,
) -> Result<Box<dyn ImageDecoder + 'a>, String> {
    let mut reader = ImageReader::with_format(source, format);
    reader.limits(limits());
    Ok(Box::new(reader.into_decoder().map_err(|e| e.to_string())?))
}

/// What a file is instead, by its first bytes; its name promised an image that is read.
fn not_an_image(start: &[u8]) -> String {
    let other = match start {
        [] => return "the file is empty".into(),
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'B', b'M', ..] => "BMP",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "WebP",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "TIFF",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "HEIC or AVIF",
        _ => return "neither a PNG nor a JPEG file".into(),
    };
    format!("neither a PNG nor a JPEG file but {other}, convert it")
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
