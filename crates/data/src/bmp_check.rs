//! Checks of a BMP file before its decoder runs.

/// The size of the oldest header, whose sides have 16 bits.
const CORE_HEADER: u32 = 12;

/// The number of bits of a pixel, from the header at the start of a file. `None` if the header is not whole, or
/// if runs of pixels are packed: such a file may skip any number of them.
pub(crate) fn bits_per_pixel(start: &[u8]) -> Option<u64> {
    let number = |at: usize| Some(u32::from_le_bytes(*start.get(at..)?.first_chunk()?));
    let bits = |at: usize| Some(u64::from(u16::from_le_bytes(*start.get(at..)?.first_chunk()?)));
    // The header follows the file's own of 14 bytes.
    if number(14)? == CORE_HEADER {
        return bits(24);
    }
    let packed = matches!(number(30)?, 1 | 2);
    bits(28).filter(|_| !packed)
}

/// The number of bytes of this many pixels.
pub(crate) fn fewest_bytes((width, height): (u32, u32), bits_per_pixel: Option<u64>) -> u64 {
    (u64::from(width) * u64::from(height)).saturating_mul(bits_per_pixel.unwrap_or(0)) / 8
}
