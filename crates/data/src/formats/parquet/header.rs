//! The header in front of a page of values, in Thrift's compact protocol.
//!
//! The crate `parquet` reads such headers too, but takes the memory that they claim before it looks at the page.
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift> names the fields,
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md> describes their bytes.

use std::io::{self, Read};

/// Most bytes of a header. It may hold the smallest and the largest value of its page.
const MAX_BYTES: u64 = 1 << 20;
/// How deep fields lie in each other.
const DEPTH: usize = 8;

/// What a header says of its page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PageHeader {
    pub kind: i64,
    pub uncompressed: i64,
    pub compressed: i64,
    pub values: i64,
    pub encoding: i64,
    /// Of the levels, in the first version of pages.
    pub level_encodings: [i64; 2],
    /// Nulls and rows, in the second version.
    pub nulls_and_rows: [i64; 2],
    /// Lengths of the definition and of the repetition levels, in the second version.
    pub level_bytes: [i64; 2],
    /// Whether the values are compressed, in the second version.
    pub is_compressed: bool,
}

/// The header that begins here, and its length in bytes. An error is what is wrong with it.
pub(super) fn read(stream: impl Read) -> Result<(PageHeader, u64), String> {
    let mut thrift = Thrift { stream: stream.take(MAX_BYTES), taken: 0 };
    let mut header = PageHeader { is_compressed: true, ..PageHeader::default() };
    thrift.structure(&mut Vec::new(), &mut |path, value| header.set(path, value))?;
    Ok((header, thrift.taken))
}

/// The numbers that these bytes begin with, as Thrift and parquet write them; none after one that is cut.
pub(super) fn varints(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let mut thrift = Thrift { stream: bytes, taken: 0 };
    std::iter::from_fn(move || thrift.varint().ok())
}

impl PageHeader {
    fn set(&mut self, path: &[i16], value: i64) {
        match path {
            [1] => self.kind = value,
            [2] => self.uncompressed = value,
            [3] => self.compressed = value,
            // Headers of data pages, of dictionaries, and of data pages of the second version.
            [5 | 7 | 8, 1] => self.values = value,
            [5 | 7, 2] | [8, 4] => self.encoding = value,
            [5, field @ (3 | 4)] => self.level_encodings[*field as usize - 3] = value,
            [8, field @ (2 | 3)] => self.nulls_and_rows[*field as usize - 2] = value,
            [8, field @ (5 | 6)] => self.level_bytes[*field as usize - 5] = value,
            [8, 7] => self.is_compressed = value != 0,
            _ => {}
        }
    }
}

struct Thrift<R> {
    stream: R,
    taken: u64,
}

/// Gets the way to a number, field by field, and the number.
type OnNumber<'a> = &'a mut dyn FnMut(&[i16], i64);

impl<R: Read> Thrift<R> {
    /// The fields of a structure, to its end.
    fn structure(&mut self, path: &mut Vec<i16>, on_number: OnNumber) -> Result<(), String> {
        if path.len() > DEPTH {
            return Err("the header of a page is nested too deeply".into());
        }
        let mut field = 0i16;
        loop {
            let byte = self.byte()?;
            let kind = byte & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            field = match byte >> 4 {
                0 => self.number()? as i16,
                more => field.wrapping_add(more.into()),
            };
            path.push(field);
            // A truth value is in its kind.
            match kind {
                1 | 2 => on_number(path, i64::from(kind == 1)),
                _ => self.value(kind, path, on_number)?,
            }
            path.pop();
        }
    }

    fn value(&mut self, kind: u8, path: &mut Vec<i16>, on_number: OnNumber) -> Result<(), String> {
        match kind {
            1..=3 => self.byte().map(drop),
            4..=6 => {
                let number = self.number()?;
                on_number(path, number);
                Ok(())
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let (count, kind) = match byte >> 4 {
                    15 => (self.varint()?, byte & 0x0f),
                    count => (count.into(), byte & 0x0f),
                };
                path.push(0);
                // Each takes a byte at least, so that the stream ends before a wrong count does.
                for _ in 0..count {
                    match kind {
                        12 => self.structure(path, on_number)?,
                        9..=11 => return Err("the header of a page holds lists of lists".into()),
                        _ => self.value(kind, path, on_number)?,
                    }
                }
                path.pop();
                Ok(())
            }
            12 => self.structure(path, on_number),
            other => Err(format!("the header of a page has a field of kind {other}")),
        }
    }

    /// A signed number.
    fn number(&mut self) -> Result<i64, String> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("the header of a page has a number of more than 64 bits".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).map_err(cut)?;
        self.taken += 1;
        Ok(byte[0])
    }

    fn skip(&mut self, length: u64) -> Result<(), String> {
        let skipped = io::copy(&mut (&mut self.stream).take(length), &mut io::sink()).map_err(cut)?;
        self.taken += skipped;
        if skipped == length { Ok(()) } else { Err("the header of a page is cut".into()) }
    }
}

fn cut(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the header of a page is cut".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_field_by_field_and_what_is_unknown_is_skipped() {
        // Kind 0, 100 bytes unpacked, 60 packed, a checksum; 6 values, plain, levels of encoding 3, statistics of a text.
        let bytes = [
            &[0x15, 0, 0x15, 0xc8, 1, 0x15, 120, 0x15, 2, 0x1c, 0x15, 12, 0x15, 0, 0x15, 6, 0x15, 6][..],
            &[0x1c, 0x18, 3, b'a', b'b', b'c', 0x29, 0x23, 1, 2, 0, 0, 0],
        ]
        .concat();
        let (header, length) = read(&bytes[..]).unwrap();
        let expected = PageHeader {
            uncompressed: 100,
            compressed: 60,
            values: 6,
            level_encodings: [3, 3],
            is_compressed: true,
            ..PageHeader::default()
        };
        assert_eq!((header, length), (expected, bytes.len() as u64));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).unwrap_err().contains("cut"), "{cut}");
        }
    }

    #[test]
    fn a_header_that_is_deep_long_or_no_header_is_refused() {
        assert!(read(&[0x1c; 1000][..]).unwrap_err().contains("nested"));
        assert!(read(&[0x19; 1000][..]).is_err());
        assert!(read(&[&[0x18][..], &[0xff; 9], &[1]].concat()[..]).unwrap_err().contains("cut"));
        assert!(read(&[&[0x15][..], &[0xff; 20]].concat()[..]).unwrap_err().contains("64 bits"));
        assert!(read(&[&[0x19, 0xf1][..], &[0xff; 9], &[1]].concat()[..]).unwrap_err().contains("cut"));
        assert!(read(&[0x1e, 0][..]).unwrap_err().contains("kind 14"));
        assert!(read(std::io::repeat(0x13)).is_err());
    }
}
