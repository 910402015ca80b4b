//! Checks of a PNG file before its decoder runs.

/// The first bytes of a PNG file.
pub(crate) const START: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The number of bits of a pixel, from the header at the start of a file. `None` if the header is not
/// whole.
pub(crate) fn bits_per_pixel(start: &[u8]) -> Option<u64> {
    // These bytes come after the chunk's length and name and the two sides.
    let &[depth, colour] = start.get(24..26)? else { return None };
    let samples = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    Some(samples * u64::from(depth))
}

/// The least number of bytes for this many pixels: at best, deflate packs 258 bytes into two bits.
pub(crate) fn fewest_bytes((width, height): (u32, u32), bits_per_pixel: u64) -> u64 {
    (u64::from(width) * u64::from(height)).saturating_mul(bits_per_pixel) / 8 / (258 * 4)
}

/// Checks the palette before the pixels. `bytes` begin with [`START`].
///
/// # Errors
/// A palette without three bytes for each colour: png 0.18.1 panics on it.
pub(crate) fn check_palette(bytes: &[u8]) -> Result<(), String> {
    let mut rest = &bytes[START.len()..];
    while let [l3, l2, l1, l0, n0, n1, n2, n3, tail @ ..] = rest {
        let length = u32::from_be_bytes([*l3, *l2, *l1, *l0]) as usize;
        match &[*n0, *n1, *n2, *n3] {
            b"PLTE" if !length.is_multiple_of(3) => {
                return Err(format!("a palette of {length} bytes, which is not three a colour"));
            }
            b"IDAT" => break,
            // A checksum follows the data.
            _ => rest = tail.get(length..).and_then(|rest| rest.get(4..)).unwrap_or_default(),
        }
    }
    Ok(())
}
