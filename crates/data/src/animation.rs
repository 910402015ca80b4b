//! A sequence of pictures as one looping file: APNG (exact) or GIF (256 colours a frame).

use std::path::Path;

use crate::atomic;
use crate::error::DataError;
use crate::picture::{Picture, same_shape};
use crate::png_file::{png_color, png_sides};

/// The least time of the last frame, so that a person can look at the result.
const LAST_FRAME_MS: u16 = 1500;

/// Writes the frames as an animated PNG that loops for ever. Each frame stays for `delay_ms` milliseconds,
/// the last for at least 1.5 s. The file holds `texts` by keyword.
///
/// Viewers without APNG show the first frame. The file is written as a whole or not at all, as with
/// [`Picture::write_png`].
///
/// # Errors
/// No frames; frames of different shapes; [`DataError::Write`].
pub fn write_apng(
    frames: &[Picture],
    delay_ms: u16,
    texts: &[(&str, String)],
    path: impl AsRef<Path>,
) -> Result<(), DataError> {
    atomic::write(path.as_ref(), &encode_apng(frames, delay_ms, texts)?)
}

/// The bytes of the file that [`write_apng`] writes; `texts` by keyword as in [`Picture::encode_png_with`].
///
/// # Errors
/// No frames; frames of different shapes.
pub fn encode_apng(
    frames: &[Picture],
    delay_ms: u16,
    texts: &[(&str, String)],
) -> Result<Vec<u8>, DataError> {
    encoded(same_shape("animation", frames)?, frames, delay_ms, texts)
        .map_err(|e| DataError::invalid(format!("cannot encode the animation as APNG: {e}")))
}

fn encoded(
    first: &Picture,
    frames: &[Picture],
    delay_ms: u16,
    texts: &[(&str, String)],
) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = png_sides(first);
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png_color(first));
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(count, 0)?;
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).into(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    for (i, frame) in frames.iter().enumerate() {
        writer.set_frame_delay(shown_ms(i, frames.len(), delay_ms), 1000)?;
        writer.write_image_data(&frame.pixels)?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// Writes the frames as a GIF that loops for ever. Each frame stays for `delay_ms` milliseconds, the last
/// for at least 1.5 s.
///
/// GIF counts in hundredths of a second, and viewers slow down delays below 20 ms. Therefore the delay is
/// rounded, and is at least 20 ms. Grey frames and frames of at most 256 colours are exact; others are
/// reduced to 256 colours. The file is written as a whole or not at all.
///
/// # Errors
/// No frames; frames of different shapes; a side above 65535; [`DataError::Write`].
pub fn write_gif(frames: &[Picture], delay_ms: u16, path: impl AsRef<Path>) -> Result<(), DataError> {
    let first = same_shape("animation", frames)?;
    let side = |n: usize| {
        u16::try_from(n).map_err(|_| {
            DataError::invalid(format!("a GIF's side is at most 65535, not {n}; write an APNG instead"))
        })
    };
    let bytes = encode_gif(side(first.width)?, side(first.height)?, frames, delay_ms)
        .map_err(|e| DataError::invalid(format!("cannot encode the animation as GIF: {e}")))?;
    atomic::write(path.as_ref(), &bytes)
}

fn encode_gif(
    width: u16,
    height: u16,
    frames: &[Picture],
    delay_ms: u16,
) -> Result<Vec<u8>, gif::EncodingError> {
    // NeuQuant's best quality, because frames are small and a file is written once.
    const BEST: i32 = 1;
    let grey = frames[0].channels == 1;
    let palette: Vec<u8> = match grey {
        true => (0..=255).flat_map(|v| [v; 3]).collect(),
        false => Vec::new(),
    };
    let mut encoder = gif::Encoder::new(Vec::new(), width, height, &palette)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    for (i, frame) in frames.iter().enumerate() {
        let mut encoded = match grey {
            true => {
                gif::Frame { width, height, buffer: frame.pixels.as_slice().into(), ..gif::Frame::default() }
            }
            false => gif::Frame::from_rgb_speed(width, height, &frame.pixels, BEST),
        };
        let shown = shown_ms(i, frames.len(), delay_ms);
        encoded.delay = (shown.saturating_add(5) / 10).max(2);
        encoder.write_frame(&encoded)?;
    }
    encoder.into_inner()
}

fn shown_ms(frame: usize, frames: usize, delay_ms: u16) -> u16 {
    match frame + 1 == frames {
        true => delay_ms.max(LAST_FRAME_MS),
        false => delay_ms,
    }
}
