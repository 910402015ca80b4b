//! PNG files byte for byte, for what encoders do not write.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

pub const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Colour types.
pub const GREY: u8 = 0;
pub const RGB: u8 = 2;
pub const PALETTE: u8 = 3;
pub const GREY_ALPHA: u8 = 4;
pub const RGBA: u8 = 6;

/// What IHDR holds.
#[derive(Clone, Copy)]
pub struct Header {
    pub width: u32,
    pub height: u32,
    pub depth: u8,
    pub colour: u8,
    pub interlaced: bool,
}

impl Header {
    pub fn new(width: u32, height: u32, depth: u8, colour: u8) -> Self {
        Header { width, height, depth, colour, interlaced: false }
    }

    pub fn interlaced(self) -> Self {
        Header { interlaced: true, ..self }
    }

    pub fn chunk(&self) -> Vec<u8> {
        let mut data = self.width.to_be_bytes().to_vec();
        data.extend(self.height.to_be_bytes());
        data.extend([self.depth, self.colour, 0, 0, u8::from(self.interlaced)]);
        chunk(b"IHDR", &data)
    }

    fn samples_a_pixel(&self) -> usize {
        match self.colour {
            RGB => 3,
            GREY_ALPHA => 2,
            RGBA => 4,
            _ => 1,
        }
    }
}

/// Length, name, data, checksum.
pub fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(data);
    let crc = crc32(&bytes[4..]);
    bytes.extend(crc.to_be_bytes());
    bytes
}

pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The signature and these chunks.
pub fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE.to_vec(), chunks.concat()].concat()
}

/// A whole file of these samples with more chunks before its pixels.
pub fn image(header: Header, between: &[Vec<u8>], samples: &[u16]) -> Vec<u8> {
    let pixels = chunk(b"IDAT", &zlib(&rows(header, samples)));
    file(&[header.chunk(), between.concat(), pixels, chunk(b"IEND", b"")])
}

/// Unfiltered rows of the samples, row by row or in the seven passes of Adam7.
pub fn rows(header: Header, samples: &[u16]) -> Vec<u8> {
    // First column, first row, step across, step down.
    const ADAM7: [(usize, usize, usize, usize); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let passes = if header.interlaced { &ADAM7[..] } else { &[(0, 0, 1, 1)] };
    let (width, height, per_pixel) =
        (header.width as usize, header.height as usize, header.samples_a_pixel());
    assert_eq!(samples.len(), width * height * per_pixel);
    let mut bytes = Vec::new();
    for &(left, top, across, down) in passes.iter().filter(|pass| pass.0 < width) {
        for y in (top..height).step_by(down) {
            let row: Vec<u16> = (left..width)
                .step_by(across)
                .flat_map(|x| &samples[(y * width + x) * per_pixel..][..per_pixel])
                .copied()
                .collect();
            bytes.push(0);
            bytes.extend(packed(&row, header.depth));
        }
    }
    bytes
}

fn packed(row: &[u16], depth: u8) -> Vec<u8> {
    if depth == 16 {
        return row.iter().flat_map(|v| v.to_be_bytes()).collect();
    }
    let in_a_byte = usize::from(8 / depth);
    let pack = |samples: &[u16]| {
        let packed = samples.iter().fold(0_u32, |byte, &v| byte << depth | u32::from(v));
        (packed << (usize::from(depth) * (in_a_byte - samples.len()))) as u8
    };
    row.chunks(in_a_byte).map(pack).collect()
}

/// Puts right checksums into every chunk that can be found, so that damage gets past them;
/// leaves other files alone.
pub fn repair_checksums(bytes: &mut [u8]) {
    if !bytes.starts_with(&SIGNATURE) {
        return;
    }
    let mut at = SIGNATURE.len();
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let crc = crc32(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}
