//! Checks of a WebP file before its decoder runs: it is whole, and no frame is larger than the canvas.
//!
//! <https://developers.google.com/speed/webp/docs/riff_container> describes the chunks.

/// The bytes before the first chunk: `RIFF`, a length, `WEBP`.
const HEADER: usize = 12;
/// The bytes of a frame of an animation before its own chunks.
const FRAME_HEADER: usize = 16;
/// The 14 bits of a lossy image's sides; the others scale it for a display.
const SIDE_BITS: u16 = 0x3fff;

/// Where the image ends in the bytes of a file, which begin as a WebP file does.
///
/// # Errors
/// A chunk that is longer than the file; a lossy image that is larger than the canvas, for which its decoder
/// would take memory.
pub(crate) fn end(bytes: &[u8]) -> Result<usize, String> {
    let cut = || "the WebP data is cut short".to_string();
    let length = bytes.get(4..8).and_then(|length| length.first_chunk()).ok_or_else(cut)?;
    let end = 8 + u32::from_le_bytes(*length) as usize;
    let chunks = bytes.get(HEADER..end).ok_or_else(cut)?;
    let canvas = match chunks {
        // After the flags, the sides less one, of 24 bits each.
        [b'V', b'P', b'8', b'X', _, _, _, _, _, _, _, _, w0, w1, w2, h0, h1, h2, ..] => {
            let side = |bytes: [u8; 3]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1;
            Some((side([*w0, *w1, *w2]), side([*h0, *h1, *h2])))
        }
        _ => None,
    };
    check_chunks(chunks, canvas)?;
    Ok(end)
}

fn check_chunks(mut rest: &[u8], canvas: Option<(u32, u32)>) -> Result<(), String> {
    while let [n0, n1, n2, n3, l0, l1, l2, l3, tail @ ..] = rest {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let data = tail.get(..length).ok_or("the WebP data is cut short")?;
        match &[*n0, *n1, *n2, *n3] {
            b"VP8 " => check_lossy(data, canvas)?,
            b"ANMF" => check_chunks(data.get(FRAME_HEADER..).unwrap_or_default(), canvas)?,
            _ => {}
        }
        // Chunks begin at even places.
        rest = tail.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    Ok(())
}

fn check_lossy(data: &[u8], canvas: Option<(u32, u32)>) -> Result<(), String> {
    let (Some((width, height)), &[_, _, _, _, _, _, w0, w1, h0, h1, ..]) = (canvas, data) else {
        return Ok(());
    };
    let side = |bytes| u32::from(u16::from_le_bytes(bytes) & SIDE_BITS);
    let (own_width, own_height) = (side([w0, w1]), side([h0, h1]));
    match own_width > width || own_height > height {
        true => Err(format!("a frame of {own_width}x{own_height} pixels on a canvas of {width}x{height}")),
        false => Ok(()),
    }
}
