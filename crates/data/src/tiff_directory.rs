//! The first directory of a TIFF file: what its first page is, as numbers under tags.
//!
//! TIFF 6.0 (Adobe, 1992), section 2, describes it. In a BigTIFF file, places have 64 bits.

use std::io::{Read, Seek, SeekFrom};

use crate::input::Input;

/// Most tags of a directory.
const MAX_TAGS: u64 = 4096;
/// Most numbers of one tag: the places of strips and tiles are the longest.
const MAX_NUMBERS: u64 = 1 << 18;

/// The tags that a decoder reads, besides those that are asked for here.
const READ: [u16; 20] =
    [256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347, 530];

/// The tags of the first page.
pub(crate) struct Directory {
    order: Order,
    tags: Vec<Entry>,
}

/// How numbers are written.
#[derive(Clone, Copy)]
struct Order {
    little_endian: bool,
    /// Whether places have 64 bits.
    big: bool,
}

struct Entry {
    tag: u16,
    /// Bytes of a number.
    size: u64,
    count: u64,
    /// The numbers themselves, or where they are.
    field: [u8; 8],
}

impl Directory {
    /// Reads it from a file of `length` bytes.
    ///
    /// # Errors
    /// A file that ends too early; two values of one tag; numbers that are not in the file.
    pub(crate) fn read(input: &mut Input, length: u64) -> Result<Self, String> {
        let cut = |error: std::io::Error| format!("the TIFF data is cut short: {error}");
        let mut start = [0; 16];
        input.read_exact(&mut start[..8]).map_err(cut)?;
        let mut order = Order { little_endian: start[0] == b'I', big: false };
        order.big = order.number(&start[2..4]) == 43;
        let place = match order.big {
            true => {
                input.read_exact(&mut start[8..]).map_err(cut)?;
                order.number(&start[8..])
            }
            false => order.number(&start[4..8]),
        };
        input.seek(SeekFrom::Start(place)).map_err(cut)?;
        let (of_count, of_entry) = if order.big { (8, 20) } else { (2, 12) };
        let mut bytes = [0; 20];
        input.read_exact(&mut bytes[..of_count]).map_err(cut)?;
        let count = order.number(&bytes[..of_count]);
        if count > MAX_TAGS {
            return Err(format!("a TIFF of {count} tags, and {MAX_TAGS} are read"));
        }
        let mut directory = Self { order, tags: Vec::new() };
        for _ in 0..count {
            input.read_exact(&mut bytes[..of_entry]).map_err(cut)?;
            let entry = order.entry(&bytes[..of_entry]);
            if READ.contains(&entry.tag) {
                directory.add(entry, length)?;
            }
        }
        Ok(directory)
    }

    fn add(&mut self, entry: Entry, length: u64) -> Result<(), String> {
        let tag = entry.tag;
        if self.entry(tag).is_some() {
            return Err(format!("a TIFF with two values of the tag {tag}"));
        }
        let bytes = entry.count.saturating_mul(entry.size);
        if entry.count > MAX_NUMBERS || bytes > length {
            return Err(format!(
                "{length} bytes cannot hold the {} numbers of the TIFF tag {tag}",
                entry.count
            ));
        }
        self.tags.push(entry);
        Ok(())
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.tags.iter().find(|entry| entry.tag == tag)
    }

    /// The first number of a tag, if there is one.
    ///
    /// # Errors
    /// A place that is not in the file.
    pub(crate) fn number(&self, tag: u16, input: &mut Input) -> Result<Option<u64>, String> {
        let Some(entry) = self.entry(tag).filter(|entry| entry.count > 0 && entry.size > 0) else {
            return Ok(None);
        };
        let (size, inside) = (entry.size as usize, if self.order.big { 8 } else { 4 });
        if entry.count.saturating_mul(entry.size) <= inside {
            return Ok(Some(self.order.number(&entry.field[..size])));
        }
        let place = self.order.number(&entry.field[..inside as usize]);
        let mut bytes = [0; 8];
        input
            .seek(SeekFrom::Start(place))
            .and_then(|_| input.read_exact(&mut bytes[..size]))
            .map_err(|error| format!("the TIFF data is cut short: {error}"))?;
        Ok(Some(self.order.number(&bytes[..size])))
    }
}

impl Order {
    /// Of 8 bytes at most.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.little_endian {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        }
    }

    /// Tag and type of 2 bytes each, the count, and the field.
    fn entry(self, bytes: &[u8]) -> Entry {
        let (count, field) = if self.big { (4..12, 12..20) } else { (4..8, 8..12) };
        let size = match self.number(&bytes[2..4]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 0,
        };
        let mut whole = [0; 8];
        whole[..field.len()].copy_from_slice(&bytes[field]);
        Entry { tag: self.number(&bytes[..2]) as u16, size, count: self.number(&bytes[count]), field: whole }
    }
}
