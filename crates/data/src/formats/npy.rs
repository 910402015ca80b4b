//! One array of NumPy's file format (`.npy`), as numbers that pixels and labels are made of.
//!
//! The format is described at <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>:
//! a magic string, a version, the length of a header, and the header: a Python dictionary of `descr`,
//! `fortran_order` and `shape`. Nothing of it is executed, and memory grows with what is really there.

use std::io::{self, Read};

/// Most bytes of a header; NumPy's own have below 200.
const MAX_HEADER: usize = 1 << 14;
/// Most characters of a text.
const MAX_TEXT: usize = 1 << 12;
/// Most axes of an array of images or labels.
const MAX_AXES: usize = 5;

/// The values of an array, in the order of its last axis first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Values,
}

impl Array {
    /// The same array of rows and columns, whose values are given column by column.
    pub(super) fn by_rows(self) -> Result<Self, String> {
        let [rows, columns] = self.shape[..] else {
            return Err(format!(
                "its values are in Fortran's order, and {} axes; write it with numpy.ascontiguousarray",
                self.shape.len()
            ));
        };
        let values = match self.values {
            Values::Bytes(values) => Values::Bytes(by_rows(&values, rows, columns)),
            Values::Words(values) => Values::Words(by_rows(&values, rows, columns)),
            Values::Integers(values) => Values::Integers(by_rows(&values, rows, columns)),
            Values::Floats(values) => Values::Floats(by_rows(&values, rows, columns)),
            Values::Texts(values) => Values::Texts(by_rows(&values, rows, columns)),
        };
        Ok(Array { shape: self.shape, values })
    }
}

fn by_rows<T: Clone>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..rows).flat_map(|row| (0..columns).map(move |column| values[column * rows + row].clone())).collect()
}

/// Reads an array of at most `most` bytes. An error is what is wrong, for people.
pub(super) fn read(mut file: impl Read, most: u64) -> Result<Array, String> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends within its header".to_string(),
        _ => error.to_string(),
    };
    let mut magic = [0u8; 8];
    file.read_exact(&mut magic).map_err(cut)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("it does not begin as an array of NumPy".into());
    }
    let mut length = [0u8; 4];
    let bytes = if magic[6] == 1 { 2 } else { 4 };
    file.read_exact(&mut length[..bytes]).map_err(cut)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(format!("its header has {length} bytes, and at most {MAX_HEADER} are read"));
    }
    let mut header = vec![0u8; length];
    file.read_exact(&mut header).map_err(cut)?;
    let header = Header::parse(std::str::from_utf8(&header).map_err(|_| "its header is no text")?)?;
    let count = header.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64));
    let size = count.and_then(|count| count.checked_mul(header.kind.size() as u64));
    let held = count.and_then(|count| count.checked_mul(header.kind.held() as u64));
    let Some(size) = size.filter(|_| held.is_some_and(|held| held <= most)) else {
        let shape = &header.shape;
        return Err(format!(
            "an array of shape {shape:?} has more than the {most} bytes that are read of a data set; use fewer or \
             smaller images, or raise the limit with --max-gigabytes N (the max_bytes option)"
        ));
    };
    let values = header.kind.values(&mut file.take(size), header.big_endian)?;
    let got = match &values {
        Values::Bytes(values) => values.len(),
        Values::Words(values) => values.len(),
        Values::Integers(values) => values.len(),
        Values::Floats(values) => values.len(),
        Values::Texts(values) => values.len(),
    };
    match Some(got as u64) == count {
        true => Ok(Array { shape: header.shape, values }),
        false => {
            Err(format!("it has {got} values, and shape {:?} needs more: the file is cut", header.shape))
        }
    }
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    kind: Kind,
    big_endian: bool,
    shape: Vec<usize>,
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Bool,
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    /// Of so many UTF-32 characters, at least 1.
    Text(usize),
}

impl Kind {
    /// The type that NumPy calls so, such as `u1`.
    pub(super) fn of(name: &str) -> Result<Self, String> {
        Ok(match name {
            "b1" => Kind::Bool,
            "u1" => Kind::Unsigned(1),
            "u2" => Kind::Unsigned(2),
            "u4" => Kind::Unsigned(4),
            "u8" => Kind::Unsigned(8),
            "i1" => Kind::Signed(1),
            "i2" => Kind::Signed(2),
            "i4" => Kind::Signed(4),
            "i8" => Kind::Signed(8),
            "f4" => Kind::Float(4),
            "f8" => Kind::Float(8),
            name if name.starts_with('O') => {
                return Err("its values are Python objects, which would have to be executed; save an array of numbers \
                            instead"
                    .into());
            }
            name => match name.strip_prefix('U').map(str::parse) {
                Some(Ok(length)) if (1..=MAX_TEXT).contains(&length) => Kind::Text(length),
                _ => {
                    let name: String = name.chars().take(40).collect();
                    return Err(format!("its values are {name:?}, and numbers of 1 to 8 bytes are read"));
                }
            },
        })
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Unsigned(size) | Self::Signed(size) | Self::Float(size) => size,
            Self::Text(length) => length.saturating_mul(4),
        }
    }

    /// Bytes of memory that a value takes.
    fn held(self) -> usize {
        match self {
            Self::Text(_) => self.size().saturating_add(size_of::<String>()),
            _ => self.size(),
        }
    }

    /// All values of the stream, in whatever byte order.
    pub(super) fn values(self, file: &mut impl Read, big_endian: bool) -> Result<Values, String> {
        let mut bytes = Vec::new();
        if self.size() == 1 && self != Self::Signed(1) {
            file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            if self == Self::Bool {
                bytes.iter_mut().for_each(|byte| *byte = if *byte == 0 { 0 } else { 255 });
            }
            return Ok(Values::Bytes(bytes));
        }
        if let Self::Text(length) = self {
            file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            let texts = bytes.chunks_exact(4 * length).map(|bytes| text(bytes, big_endian));
            return texts.collect::<Result<_, _>>().map(Values::Texts);
        }
        let size = self.size();
        let mut part = vec![0u8; size << 13];
        let (mut words, mut integers, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let filled = fill(file, &mut part).map_err(|error| error.to_string())?;
            for value in part[..filled].chunks_exact(size) {
                let mut eight = [0u8; 8];
                eight[..size].copy_from_slice(value);
                if big_endian {
                    eight[..size].reverse();
                }
                let bits = u64::from_le_bytes(eight);
                let shift = 64 - 8 * size as u32;
                match self {
                    Self::Float(4) => floats.push(f32::from_bits(bits as u32)),
                    Self::Float(_) => floats.push(f64::from_bits(bits) as f32),
                    Self::Unsigned(2) => words.push(bits as u16),
                    // Larger ones are none of a pixel or a label, and are refused as such.
                    Self::Unsigned(_) => integers.push(i64::try_from(bits).unwrap_or(i64::MAX)),
                    _ => integers.push((bits << shift) as i64 >> shift),
                }
            }
            if filled < part.len() {
                return Ok(match self {
                    Self::Float(_) => Values::Floats(floats),
                    Self::Unsigned(2) => Values::Words(words),
                    _ => Values::Integers(integers),
                });
            }
        }
    }
}

/// A text of UTF-32 characters, up to the zeros that fill it.
fn text(bytes: &[u8], big_endian: bool) -> Result<String, String> {
    let character = |four: &[u8]| {
        let mut four = [four[0], four[1], four[2], four[3]];
        if big_endian {
            four.reverse();
        }
        char::from_u32(u32::from_le_bytes(four))
    };
    let text: Option<String> = bytes.chunks_exact(4).map(character).collect();
    Ok(text.ok_or("a character of a text is none of Unicode's")?.trim_end_matches('\0').into())
}

/// Reads until the buffer is full or the stream ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

impl Header {
    /// Of `{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }`, keys in any order.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("its header is not NumPy's: {:?}", text.trim().chars().take(80).collect::<String>());
        let inner =
            text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(wrong)?;
        let after = |key: &str| -> Option<&str> {
            let quoted = [format!("'{key}'"), format!("\"{key}\"")];
            let at = quoted.iter().find_map(|key| Some(inner.find(key.as_str())? + key.len()))?;
            Some(inner[at..].trim_start().strip_prefix(':')?.trim_start())
        };
        let order = after("fortran_order").ok_or_else(wrong)?;
        if !order.starts_with("False") {
            return Err("its values are in Fortran's order; write it with numpy.ascontiguousarray".into());
        }
        let shape =
            after("shape").and_then(|text| text.strip_prefix('(')?.split_once(')')).ok_or_else(wrong)?.0;
        let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
        // Old versions write 3L.
        let sides = sides.map(|side| side.trim_end_matches('L').parse::<usize>());
        let shape: Vec<usize> = sides.collect::<Result<_, _>>().map_err(|_| wrong())?;
        if shape.len() > MAX_AXES {
            return Err(format!("it has {} axes, and images and labels have at most 4", shape.len()));
        }
        let descr = after("descr").ok_or_else(wrong)?;
        if descr.starts_with('[') {
            return Err("its values are records of several fields, not numbers".into());
        }
        let quote = descr.chars().next().filter(|quote| ['\'', '"'].contains(quote)).ok_or_else(wrong)?;
        let descr = descr[1..].split_once(quote).ok_or_else(wrong)?.0;
        let (order, kind) = match descr.chars().next() {
            Some(order @ ('<' | '>' | '|' | '=')) => (order, &descr[1..]),
            _ => ('=', descr),
        };
        Ok(Self { kind: Kind::of(kind)?, big_endian: order == '>', shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Header, String> {
        Header::parse(text)
    }

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let found =
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8, 8), }          \n").unwrap();
        assert_eq!(found, Header { kind: Kind::Unsigned(1), big_endian: false, shape: vec![5, 8, 8] });
        let found = header("{\"shape\": (3L,), \"descr\": \">f8\", \"fortran_order\": False}").unwrap();
        assert_eq!(found, Header { kind: Kind::Float(8), big_endian: true, shape: vec![3] });
        assert!(header("{'descr': '<i4', 'fortran_order': False, 'shape': (), }").unwrap().shape.is_empty());
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_with_its_reason() {
        let refused = |descr: &str| {
            header(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}")).unwrap_err()
        };
        assert!(refused("'|O'").contains("Python objects"));
        assert!(refused("'<U0'").contains("U0"));
        assert!(refused("'<M8[s]'").contains("M8[s]"));
        assert!(refused("[('a', '<f4')]").contains("several fields"));
        assert!(
            header("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2), }")
                .unwrap_err()
                .contains("Fortran")
        );
        for text in ["", "{}", "{'descr': '|u1'}", "{'descr': |u1', 'shape': (1", "é"] {
            assert!(header(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_every_type_are_what_they_were() {
        let file = |descr: &str, count: usize, bytes: &[u8]| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({count},), }}\n");
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((header.len() as u16).to_le_bytes());
            file.extend(header.as_bytes());
            file.extend(bytes);
            file
        };
        let read = |file: Vec<u8>| read(&file[..], 1000).map(|array| array.values);
        assert_eq!(read(file("|b1", 2, &[0, 1])).unwrap(), Values::Bytes(vec![0, 255]));
        assert_eq!(read(file("|i1", 2, &[0xff, 3])).unwrap(), Values::Integers(vec![-1, 3]));
        assert_eq!(read(file(">u2", 2, &[0xff, 0xfe, 0, 1])).unwrap(), Values::Words(vec![0xfffe, 1]));
        assert_eq!(read(file(">i2", 1, &[0xff, 0xfe])).unwrap(), Values::Integers(vec![-2]));
        assert_eq!(read(file("<u4", 1, &[1, 0, 0, 0x80])).unwrap(), Values::Integers(vec![0x8000_0001]));
        assert_eq!(read(file("<i8", 1, &(-5i64).to_le_bytes())).unwrap(), Values::Integers(vec![-5]));
        assert_eq!(read(file("<f8", 1, &0.5f64.to_le_bytes())).unwrap(), Values::Floats(vec![0.5]));
        let texts = Values::Texts(vec!["é".into(), "ab".into()]);
        assert_eq!(read(file("<U2", 2, b"\xe9\0\0\0\0\0\0\0a\0\0\0b\0\0\0")).unwrap(), texts);
        assert_eq!(read(file(">U2", 2, b"\0\0\0\xe9\0\0\0\0\0\0\0a\0\0\0b")).unwrap(), texts);
        assert!(read(file("<U1", 1, &[0xff; 4])).unwrap_err().contains("Unicode"));
        assert!(read(file("<U1", 2, &[0; 7])).unwrap_err().contains("cut"));
        // Of such lengths, the bytes of a character are 0 by overflow.
        for (length, count) in [(usize::MAX, 2), (1 << 62, 0), (4097, 0)] {
            let huge = format!("<U{length}");
            assert!(read(file(&huge, count, &[0; 7])).unwrap_err().contains(&huge[1..]));
        }
        assert!(read(file("<U4096", 2, &[0; 7])).unwrap_err().contains("more than the 1000 bytes"));
        assert!(read(file("<f4", 2, &[0; 7])).unwrap_err().contains("cut"));
        assert!(read(file("<f4", 2000, &[0; 7])).unwrap_err().contains("more than the 1000 bytes"));
    }
}
