//! Decodes a PNG or JPEG file to a picture: upright, opaque, 8 bits, grey if it has no colour.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::DataError;
use crate::options::MAX_PIXELS;
use crate::picture::Picture;
use crate::{jpeg, png_check};

/// Longest side of an image that is read.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// Most bytes of an image file.
const MAX_BYTES: u64 = 512 << 20;

/// Most bytes of a pixel: four samples of 16 bits.
const PIXEL_BYTES: u64 = 8;

/// The end of the message about an image with too many pixels.
pub(crate) const MOST_OF_A_FILE: &str = "are read of a file";

/// The endings of image files that are read.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];
/// The endings of image files that cannot be read.
const NOT_READ: [&str; 56] = [
    "apng", "arw", "avif", "bmp", "cr2", "cr3", "cur", "dcm", "dds", "dib", "dng", "exr", "ff", "gif", "hdr",
    "heic", "heics", "heif", "hif", "icns", "ico", "j2k", "jfif", "jp2", "jpe", "jpx", "jxl", "jxr", "nef",
    "nrw", "orf", "pam", "pbm", "pcx", "pef", "pfm", "pgm", "pnm", "ppm", "psb", "psd", "qoi", "raf", "ras",
    "rw2", "sgi", "svg", "svgz", "tga", "tif", "tiff", "wbmp", "webp", "xbm", "xcf", "xpm",
];

/// Whether a path has the ending of an image, readable or not.
pub(crate) fn is_image_name(path: &Path) -> bool {
    ending(path).is_some_and(|e| READ.contains(&e.as_str()) || NOT_READ.contains(&e.as_str()))
}

impl Picture {
    /// The picture of a PNG or JPEG file in memory, as [`open()`](crate::open()) reads one: upright by its
    /// EXIF orientation, 8 bits, on white where it is transparent, with 1 channel if no pixel has a colour
    /// and 3 otherwise.
    ///
    /// # Errors
    /// Another format; damage; a side above 16384; more than [`MAX_PIXELS`] pixels; a header with more
    /// pixels than the bytes can hold.
    pub fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
        from_bytes(bytes, MAX_PIXELS)
            .map_err(|cause| DataError::invalid(format!("this image cannot be used: {cause}")))
    }

    /// The picture of a PNG or JPEG file, as [`Picture::decode`].
    ///
    /// # Errors
    /// As [`Picture::decode`], with the file's name; something that is not a regular file, such as a pipe.
    pub fn read(path: &Path) -> Result<Picture, DataError> {
        let header = header(path, MAX_PIXELS);
        header.and_then(|_| picture(path, MAX_PIXELS)).map_err(|cause| {
            DataError::malformed(
                path,
                format!("this image cannot be used: {cause}"),
                "use a PNG or JPEG file",
            )
        })
    }
}

/// The header of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageHeader {
    /// Width and height of the upright image.
    pub size: (u32, u32),
    /// The number of bytes of the unpacked image.
    pub bytes: u64,
    /// Whether a pixel may have a colour.
    pub has_colour: bool,
}

/// The header of an image of at most `max_pixels`.
pub(crate) fn header(path: &Path, max_pixels: u64) -> Result<ImageHeader, String> {
    check_name(path)?;
    let file = duet_files::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    check_length(length)?;
    header_of(BufReader::new(file), length, max_pixels)
}

/// The header of an image in memory that is called `path`.
pub(crate) fn header_of_bytes(path: &Path, bytes: &[u8], max_pixels: u64) -> Result<ImageHeader, String> {
    check_name(path)?;
    header_of(Cursor::new(bytes), bytes.len() as u64, max_pixels)
}

/// Refuses more bytes than an image file may have.
pub(crate) fn check_length(length: u64) -> Result<(), String> {
    match length > MAX_BYTES {
        true => Err(format!("{length} bytes, more than {MAX_BYTES}")),
        false => Ok(()),
    }
}

fn check_name(path: &Path) -> Result<(), String> {
    match ending(path).filter(|e| NOT_READ.contains(&e.as_str())) {
        Some(other) => Err(format!("{other} is not read, convert it to PNG or JPEG")),
        None => Ok(()),
    }
}

fn header_of(source: impl BufRead + Seek, length: u64, max_pixels: u64) -> Result<ImageHeader, String> {
    let (decoder, orientation) = decoder(source, length, max_pixels)?;
    let (width, height) = decoder.dimensions();
    let size = if is_turned(orientation) { (height, width) } else { (width, height) };
    let color = decoder.color_type();
    Ok(ImageHeader { size, bytes: decoder.total_bytes(), has_colour: color.has_color() || color.has_alpha() })
}

/// The picture of a file, as [`from_bytes`] describes. Call [`header`] first, because it refuses files that
/// are not images.
pub(crate) fn picture(path: &Path, max_pixels: u64) -> Result<Picture, String> {
    from_bytes(&duet_files::read(path, MAX_BYTES).map_err(|e| e.to_string())?, max_pixels)
}

/// The image with its EXIF orientation applied, over white where it is transparent, of 1 channel
/// if no pixel has a colour and of 3 otherwise.
pub(crate) fn from_bytes(bytes: &[u8], max_pixels: u64) -> Result<Picture, String> {
    // The decoders are foreign code. A panic in one of them must cost only one file, not the whole run.
    panic::catch_unwind(|| decoded(bytes, max_pixels)).unwrap_or_else(|cause| {
        let message = cause.downcast_ref::<String>().map(String::as_str);
        let message = message.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("its decoder panicked on it: {message}"))
    })
}

fn decoded(bytes: &[u8], max_pixels: u64) -> Result<Picture, String> {
    if bytes.starts_with(&png_check::START) {
        png_check::check_palette(bytes)?;
    }
    let (decoder, orientation) = decoder(Cursor::new(bytes), bytes.len() as u64, max_pixels)?;
    limits(max_pixels).reserve(decoder.total_bytes()).map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    let (height, width) = (image.height() as usize, image.width() as usize);
    let (channels, pixels) = if image.color().has_alpha() {
        (3, over_white(image.into_rgba8().into_raw()))
    } else if image.color().has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    let colourless = pixels.chunks_exact(channels).all(|pixel| pixel.iter().all(|&v| v == pixel[0]));
    let (channels, pixels) = match (channels, colourless) {
        (3, true) => (1, first_of_three(pixels)),
        whole => (whole.0, pixels),
    };
    Picture::new(channels, height, width, pixels).map_err(|e| e.to_string())
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn limits(max_pixels: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(max_pixels.saturating_mul(PIXEL_BYTES));
    limits
}

/// Chooses the decoder by the file's content, not by its name. Also returns the orientation of the image.
/// `length` is the file's; it bounds the number of pixels.
fn decoder<'a, R: BufRead + Seek + 'a>(
    mut source: R,
    length: u64,
    max_pixels: u64,
) -> Result<(Box<dyn ImageDecoder + 'a>, Orientation), String> {
    let start = source.fill_buf().map_err(|e| e.to_string())?;
    let (mut decoder, fewest_bytes) = if start.starts_with(&png_check::START) {
        let bits_per_pixel = png_check::bits_per_pixel(start);
        let decoder = limited(source, ImageFormat::Png, max_pixels)?;
        let bits_per_pixel = bits_per_pixel.ok_or("the PNG data is cut short")?;
        let fewest_bytes = png_check::fewest_bytes(decoder.dimensions(), bits_per_pixel);
        (decoder, fewest_bytes)
    } else if start.starts_with(&jpeg::START) {
        // The JPEG decoder reads the whole file anyway.
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        jpeg::check(&bytes)?;
        let decoder = limited(Cursor::new(bytes), ImageFormat::Jpeg, max_pixels)?;
        let fewest_bytes = jpeg::fewest_bytes(decoder.dimensions());
        (decoder, fewest_bytes)
    } else {
        return Err(not_an_image(start));
    };
    let (width, height) = decoder.dimensions();
    // The decoder allocates what the header claims.
    if length < fewest_bytes {
        return Err(format!("{length} bytes cannot hold the {width}x{height} pixels of the header"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Err(too_many(pixels, max_pixels));
    }
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    Ok((decoder, orientation))
}

fn too_many(pixels: u64, max_pixels: u64) -> String {
    let mega = |pixels: u64| pixels as f64 / 1e6;
    format!("its {:.1} megapixels are more than the {} that {MOST_OF_A_FILE}", mega(pixels), mega(max_pixels))
}

fn limited<'a, R: BufRead + Seek + 'a>(
    source: R,
    format: ImageFormat,
    max_pixels: u64,
) -> Result<Box<dyn ImageDecoder + 'a>, String> {
    let mut reader = ImageReader::with_format(source, format);
    reader.limits(limits(max_pixels));
    Ok(Box::new(reader.into_decoder().map_err(|e| e.to_string())?))
}

/// Says what a file is instead of an image, by its first bytes.
fn not_an_image(start: &[u8]) -> String {
    let other = match start {
        [] => return "the file is empty".into(),
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'B', b'M', ..] => "BMP",
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => "PBM, PGM, PPM or PAM",
        [b'q', b'o', b'i', b'f', ..] => "QOI",
        [b'8', b'B', b'P', b'S', ..] => "PSD",
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

/// Lays RGBA pixels on white and returns RGB, in the same memory.
fn over_white(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for i in 0..count {
        let [r, g, b, a] = [0, 1, 2, 3].map(|c| u32::from(pixels[4 * i + c]));
        let laid = [r, g, b].map(|v| ((v * a + 255 * (255 - a) + 127) / 255) as u8);
        pixels[3 * i..3 * i + 3].copy_from_slice(&laid);
    }
    pixels.truncate(3 * count);
    pixels
}

/// The first channel of RGB pixels, in the same memory.
fn first_of_three(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 3;
    for i in 0..count {
        pixels[i] = pixels[3 * i];
    }
    pixels.truncate(count);
    pixels.shrink_to_fit();
    pixels
}
