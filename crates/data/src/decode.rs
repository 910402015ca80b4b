//! Decodes an image file, known by its content: upright, opaque, of 8 or 16 bits, grey if it has no colour.

use std::io::{BufReader, Cursor};
use std::panic;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::DataError;
use crate::image_size::MAX_SIDE;
use crate::input::Input;
use crate::options::MAX_PIXELS;
use crate::picture::Picture;
use crate::pixels::{Depth, Pixels, Sample};
use crate::raster::Raster;
use crate::{bmp_check, jpeg, png_check, tiff_check, webp_check};

/// Most bytes of an image file.
const MAX_BYTES: u64 = 512 << 20;

/// Most bytes of a pixel: four samples of 16 bits.
const PIXEL_BYTES: u64 = 8;

/// The end of the message about an image with too many pixels.
pub(crate) const MOST_OF_A_FILE: &str = "are read of a file";

/// The formats of image files that are read, for people.
pub const IMAGE_FORMATS: &str = "PNG, JPEG, WebP, GIF, BMP or TIFF";

/// The endings of image files that are read.
const READ: [&str; 9] = ["bmp", "dib", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];
/// The endings of image files that cannot be read.
const NOT_READ: [&str; 50] = [
    "apng", "arw", "avif", "cr2", "cr3", "cur", "dcm", "dds", "dng", "exr", "ff", "hdr", "heic", "heics",
    "heif", "hif", "icns", "ico", "j2k", "jfif", "jp2", "jpe", "jpx", "jxl", "jxr", "nef", "nrw", "orf",
    "pam", "pbm", "pcx", "pef", "pfm", "pgm", "pnm", "ppm", "psb", "psd", "qoi", "raf", "ras", "rw2", "sgi",
    "svg", "svgz", "tga", "wbmp", "xbm", "xcf", "xpm",
];

/// Whether a path has the ending of an image, readable or not.
pub(crate) fn is_image_name(path: &Path) -> bool {
    ending(path).is_some_and(|e| READ.contains(&e.as_str()) || NOT_READ.contains(&e.as_str()))
}

impl Raster {
    /// The image of a file in memory, of one of the [`IMAGE_FORMATS`] and of at most `max_pixels`, as
    /// [`open()`](crate::open()) reads one: upright by its EXIF orientation, on white where it is transparent,
    /// with 1 channel if no pixel has a colour and 3 otherwise. PNG and TIFF files of 16 bits keep them. Of an
    /// animation it is the first frame, and of a TIFF file the first page.
    ///
    /// # Errors
    /// Another format; damage; a side above 16384; more pixels; a header with more pixels than the bytes can
    /// hold, where a format has such a limit.
    pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Raster, DataError> {
        from_bytes(bytes, max_pixels)
            .map_err(|cause| DataError::invalid(format!("this image cannot be used: {cause}")))
    }

    /// The image of a file of at most [`MAX_PIXELS`], as [`Raster::decode`].
    ///
    /// # Errors
    /// As [`Raster::decode`], with the file's name; something that is not a regular file, such as a pipe.
    pub fn read(path: &Path) -> Result<Raster, DataError> {
        let header = header(path, MAX_PIXELS);
        header.and_then(|_| raster(path, MAX_PIXELS)).map_err(|cause| {
            let cause = format!("this image cannot be used: {cause}");
            DataError::malformed(path, cause, "convert it to PNG, or use another")
        })
    }
}

impl Picture {
    /// As [`Raster::decode`] of at most [`MAX_PIXELS`], rounded to 8 bits.
    ///
    /// # Errors
    /// As [`Raster::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Picture, DataError> {
        Raster::decode(bytes, MAX_PIXELS).map(Raster::into_picture)
    }

    /// As [`Raster::read`], rounded to 8 bits.
    ///
    /// # Errors
    /// As [`Raster::read`].
    pub fn read(path: &Path) -> Result<Picture, DataError> {
        Raster::read(path).map(Raster::into_picture)
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
    /// Bits of its values once they are unpacked.
    pub depth: Depth,
}

/// The header of an image of at most `max_pixels`.
pub(crate) fn header(path: &Path, max_pixels: u64) -> Result<ImageHeader, String> {
    check_name(path)?;
    let file = duet_files::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    check_length(length)?;
    header_of(Box::new(BufReader::new(file)), length, max_pixels)
}

/// The header of an image in memory that is called `path`.
pub(crate) fn header_of_bytes(path: &Path, bytes: &[u8], max_pixels: u64) -> Result<ImageHeader, String> {
    check_name(path)?;
    header_of(Box::new(Cursor::new(bytes)), bytes.len() as u64, max_pixels)
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
        Some(other) => Err(format!("{other} is not read, convert it to PNG")),
        None => Ok(()),
    }
}

fn header_of(input: Input, length: u64, max_pixels: u64) -> Result<ImageHeader, String> {
    let (decoder, orientation) = decoder(input, length, max_pixels)?;
    let (width, height) = decoder.dimensions();
    let size = if is_turned(orientation) { (height, width) } else { (width, height) };
    let color = decoder.color_type();
    Ok(ImageHeader {
        size,
        bytes: decoder.total_bytes(),
        has_colour: color.has_color() || color.has_alpha(),
        depth: depth(color),
    })
}

/// The image of a file, as [`from_bytes`] describes. Call [`header`] first, because it refuses files that
/// are not images.
pub(crate) fn raster(path: &Path, max_pixels: u64) -> Result<Raster, String> {
    from_bytes(&duet_files::read(path, MAX_BYTES).map_err(|e| e.to_string())?, max_pixels)
}

/// The image with its EXIF orientation applied, over white where it is transparent, of 1 channel
/// if no pixel has a colour and of 3 otherwise.
pub(crate) fn from_bytes(bytes: &[u8], max_pixels: u64) -> Result<Raster, String> {
    // The decoders are foreign code. A panic in one of them must cost only one file, not the whole run.
    panic::catch_unwind(|| decoded(bytes, max_pixels)).unwrap_or_else(|cause| {
        let message = cause.downcast_ref::<String>().map(String::as_str);
        let message = message.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("its decoder panicked on it: {message}"))
    })
}

fn decoded(bytes: &[u8], max_pixels: u64) -> Result<Raster, String> {
    if bytes.starts_with(&png_check::START) {
        png_check::check_palette(bytes)?;
    }
    let (decoder, orientation) = decoder(Box::new(Cursor::new(bytes)), bytes.len() as u64, max_pixels)?;
    limits(max_pixels).reserve(decoder.total_bytes()).map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    let (height, width, color) = (image.height() as usize, image.width() as usize, image.color());
    let (channels, pixels): (_, Pixels) = match (color.has_alpha(), color.has_color(), depth(color)) {
        (true, _, Depth::Eight) => (3, over_white(image.into_rgba8().into_raw()).into()),
        (true, _, Depth::Sixteen) => (3, over_white(image.into_rgba16().into_raw()).into()),
        (false, true, Depth::Eight) => (3, image.into_rgb8().into_raw().into()),
        (false, true, Depth::Sixteen) => (3, image.into_rgb16().into_raw().into()),
        (false, false, Depth::Eight) => (1, image.into_luma8().into_raw().into()),
        (false, false, Depth::Sixteen) => (1, image.into_luma16().into_raw().into()),
    };
    let raster = Raster::new(channels, height, width, pixels).map_err(|e| e.to_string())?;
    Ok(raster.grey_if_colourless())
}

/// That of an image in memory.
fn depth(color: image::ColorType) -> Depth {
    match color.bytes_per_pixel() / color.channel_count() {
        1 => Depth::Eight,
        _ => Depth::Sixteen,
    }
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

/// The least number of bytes of a file with an image of this width and height.
type Fewest = Box<dyn Fn((u32, u32)) -> u64>;

/// What was found before a decoder runs.
struct Checked<'a> {
    format: ImageFormat,
    input: Input<'a>,
    fewest_bytes: Fewest,
    /// Where the decoder is not to look for it.
    orientation: Option<Orientation>,
}

/// Chooses the decoder by the file's content, not by its name. Also returns the orientation of the image.
/// `length` is the file's; it bounds the number of pixels.
fn decoder(
    input: Input,
    length: u64,
    max_pixels: u64,
) -> Result<(Box<dyn ImageDecoder + '_>, Orientation), String> {
    let Checked { format, input, fewest_bytes, orientation } = checked(input, length, max_pixels)?;
    let mut decoder = limited(input, format, max_pixels)?;
    let (width, height) = decoder.dimensions();
    // The decoder allocates what the header claims.
    if length < fewest_bytes((width, height)) {
        return Err(format!("{length} bytes cannot hold the {width}x{height} pixels of the header"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Err(too_many(pixels, max_pixels));
    }
    let orientation = match orientation {
        Some(orientation) => orientation,
        None => decoder.orientation().map_err(|e| e.to_string())?,
    };
    Ok((decoder, orientation))
}

/// Looks at what a decoder would trust.
fn checked(mut input: Input, length: u64, max_pixels: u64) -> Result<Checked, String> {
    let start = input.fill_buf().map_err(|e| e.to_string())?;
    let format = format_of(start).ok_or_else(|| not_an_image(start))?;
    let (mut orientation, mut whole) = (None, Vec::new());
    let fewest_bytes: Fewest = match format {
        ImageFormat::Png => {
            let bits = png_check::bits_per_pixel(start).ok_or("the PNG data is cut short")?;
            Box::new(move |sides| png_check::fewest_bytes(sides, bits))
        }
        ImageFormat::Bmp => {
            let bits = bmp_check::bits_per_pixel(start);
            Box::new(move |sides| bmp_check::fewest_bytes(sides, bits))
        }
        ImageFormat::Jpeg => {
            // The decoder reads the whole file anyway.
            input.read_to_end(&mut whole).map_err(|e| e.to_string())?;
            jpeg::check(&whole)?;
            Box::new(jpeg::fewest_bytes)
        }
        ImageFormat::WebP => {
            input.read_to_end(&mut whole).map_err(|e| e.to_string())?;
            let end = webp_check::end(&whole)?;
            whole.truncate(end);
            // An image of one colour needs no bits for its pixels.
            Box::new(|_| 0)
        }
        ImageFormat::Tiff => {
            let found = tiff_check::check(&mut input, length, max_pixels)?;
            input.rewind().map_err(|e| e.to_string())?;
            orientation = Some(found.orientation);
            Box::new(move |sides| found.fewest_bytes(sides))
        }
        // A frame may be smaller than the screen, and the rest is not in the file.
        _ => Box::new(|_| 0),
    };
    if !whole.is_empty() {
        input = Box::new(Cursor::new(whole));
    }
    Ok(Checked { format, input, fewest_bytes, orientation })
}

/// The format of a file that begins so, if it is read.
fn format_of(start: &[u8]) -> Option<ImageFormat> {
    Some(match start {
        [b'G', b'I', b'F', b'8', ..] => ImageFormat::Gif,
        [b'B', b'M', ..] => ImageFormat::Bmp,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] => ImageFormat::Tiff,
        _ if start.starts_with(&png_check::START) => ImageFormat::Png,
        _ if start.starts_with(&jpeg::START) => ImageFormat::Jpeg,
        _ => return None,
    })
}

fn too_many(pixels: u64, max_pixels: u64) -> String {
    let mega = |pixels: u64| pixels as f64 / 1e6;
    format!("its {:.1} megapixels are more than the {} that {MOST_OF_A_FILE}", mega(pixels), mega(max_pixels))
}

fn limited(input: Input, format: ImageFormat, max_pixels: u64) -> Result<Box<dyn ImageDecoder + '_>, String> {
    let mut reader = ImageReader::with_format(input, format);
    reader.limits(limits(max_pixels));
    Ok(Box::new(reader.into_decoder().map_err(|e| e.to_string())?))
}

/// Says what a file is instead of an image, by its first bytes.
fn not_an_image(start: &[u8]) -> String {
    let other = match start {
        [] => return "the file is empty".into(),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => "PBM, PGM, PPM or PAM",
        [b'q', b'o', b'i', b'f', ..] => "QOI",
        [b'8', b'B', b'P', b'S', ..] => "PSD",
        [0, 0, 0, 12, b'J', b'X', b'L', ..] | [0xff, 0x0a, ..] => "JPEG XL",
        [0, 0, 0, 12, b'j', b'P', ..] => "JPEG 2000",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "HEIC or AVIF",
        _ => return format!("no {IMAGE_FORMATS} file"),
    };
    format!("no {IMAGE_FORMATS} file but {other}, convert it")
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
fn over_white<T: Sample>(mut pixels: Vec<T>) -> Vec<T> {
    let count = pixels.len() / 4;
    for i in 0..count {
        let [r, g, b, a]: [u32; 4] = [0, 1, 2, 3].map(|c| pixels[4 * i + c].into());
        let laid = [r, g, b].map(|v| T::of((v * a + T::WHITE * (T::WHITE - a) + T::WHITE / 2) / T::WHITE));
        pixels[3 * i..3 * i + 3].copy_from_slice(&laid);
    }
    pixels.truncate(3 * count);
    pixels
}
