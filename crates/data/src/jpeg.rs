//! Checks by its segments that a JPEG file is whole and of a kind that is read.
//!
//! Decoders fill missing parts with grey, so that nobody would notice an image cut by a broken download.
//! ITU-T T.81, annex B, describes segments and frame headers.

/// The first bytes of a JPEG file.
pub(crate) const START: [u8; 3] = [0xff, 0xd8, 0xff];

const SCAN: u8 = 0xda;
const END: [u8; 2] = [0xff, 0xd9];

/// Checks the segments before the compressed data. `bytes` begin with [`START`].
///
/// # Errors
/// No end marker after the last segment; a kind of frame that the decoder lacks; a number of components
/// without a common meaning.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let cut = || "the JPEG data is cut short".to_string();
    let mut rest = &bytes[2..];
    while let [0xff, marker, tail @ ..] = rest {
        match (*marker, tail) {
            (0xff, _) => rest = &rest[1..],
            (SCAN, _) => break,
            (marker, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if let Some(frame) = tail.get(2..length).filter(|_| is_frame(marker)) {
                    check_frame(marker, frame)?;
                }
                rest = tail.get(length..).unwrap_or_default();
            }
            _ => return Err(cut()),
        }
    }
    // A segment may hold a thumbnail with its own end marker. The marker cannot occur inside the compressed
    // data.
    match rest.windows(2).any(|pair| pair == END) {
        true => Ok(()),
        false => Err(cut()),
    }
}

/// The least number of bytes for this many pixels: a block of 8x8 has at least one code, and a Huffman code
/// has at least one bit.
pub(crate) fn fewest_bytes((width, height): (u32, u32)) -> u64 {
    u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8)) / 8
}

/// SOF0 to SOF15, without DHT, JPG and DAC, whose numbers lie among them.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn check_frame(marker: u8, frame: &[u8]) -> Result<(), String> {
    const LAST_READ: u8 = 0xc2;
    if marker > LAST_READ {
        return Err("a lossless, hierarchical or arithmetic JPEG, convert it to a usual one".into());
    }
    // The number of components comes after the precision, the height and the width.
    match frame.get(5) {
        Some(1 | 3 | 4) | None => Ok(()),
        Some(count) => Err(format!("a JPEG of {count} components, not of 1 (grey), 3 (colour) or 4 (inks)")),
    }
}
