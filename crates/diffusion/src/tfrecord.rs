//! TensorFlow's files of records: each has its length and checksums of length and data.

use std::io::{self, ErrorKind, Read};

/// Bytes before the data: the length and its checksum.
const HEAD: usize = 12;
/// Bytes after the data: their checksum.
const TAIL: u64 = 4;

/// The record of this data.
pub fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length).to_le_bytes(), data, &checksum(data).to_le_bytes()].concat()
}

/// CRC-32C, rotated and shifted so that a checksum of what has checksums in it is a good one too.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The data of each record of a file, in their order; an error for the first that is torn or damaged, which ends it.
pub struct Records<R> {
    file: R,
    /// Bytes that the file has left: no record is longer.
    left: u64,
    /// Longer records are passed over.
    limit: u64,
}

impl<R: Read> Records<R> {
    /// Reads `length` bytes of records, and of each record at most `limit` bytes: a longer one is left out.
    pub fn new(file: R, length: u64, limit: u64) -> Self {
        Self { file, left: length, limit }
    }

    /// The next record that is not too long; none at the end.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.left > 0 {
            let head: [u8; HEAD] = self.take(HEAD as u64)?.try_into().map_err(|_| torn())?;
            let (length, sum) = head.split_at(8);
            let size = length.try_into().map(u64::from_le_bytes).map_err(|_| torn())?;
            if sum != checksum(length).to_le_bytes()
                || size.checked_add(TAIL).is_none_or(|all| all > self.left)
            {
                return Err(torn());
            }
            if size > self.limit {
                self.pass(size + TAIL)?;
                continue;
            }
            let data = self.take(size)?;
            return match self.take(TAIL)? == checksum(&data).to_le_bytes() {
                true => Ok(Some(data)),
                false => Err(torn()),
            };
        }
        Ok(None)
    }

    fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.by_ref().take(length).read_to_end(&mut bytes)?;
        self.left = self.left.saturating_sub(length);
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(torn()) }
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        self.left = self.left.saturating_sub(length);
        let passed = io::copy(&mut self.file.by_ref().take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(torn()) }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.left = 0;
        }
        next
    }
}

fn torn() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a record is torn or damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], limit: u64) -> (Vec<Vec<u8>>, bool) {
        let mut records = Records::new(bytes, bytes.len() as u64, limit);
        let whole: Vec<Vec<u8>> = records.by_ref().map_while(Result::ok).collect();
        let mut again = Records::new(bytes, bytes.len() as u64, limit);
        (whole, again.all(|record| record.is_ok()))
    }

    /// Test vector B.4 of RFC 3720, under the mask of TensorFlow's `masked_crc32c`.
    #[test]
    fn a_checksum_is_the_masked_crc_32c() {
        assert_eq!(checksum(&[0; 32]).wrapping_sub(0xa282_ead8).rotate_left(15), 0x8a91_36aa);
    }

    #[test]
    fn whole_records_are_read_and_the_first_damage_ends_them() {
        let parts = [&b"one"[..], b"", b"and three"];
        let bytes: Vec<u8> = parts.iter().flat_map(|part| record(part)).collect();
        assert_eq!(read(&bytes, 100), (parts.map(<[u8]>::to_vec).to_vec(), true));
        assert_eq!(read(&bytes, 3).0, [&b"one"[..], b""], "a longer one is passed over");
        let ends = [0, 19, 35, 60];
        for length in 0..bytes.len() {
            let (found, whole) = read(&bytes[..length], 100);
            assert_eq!(found.len(), ends.iter().filter(|end| **end <= length).count() - 1, "{length} bytes");
            assert_eq!(whole, ends.contains(&length), "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let (found, whole) = read(&damaged, 100);
            assert_eq!(found.len(), ends.iter().filter(|end| **end <= at).count() - 1, "byte {at}");
            assert!(!whole);
        }
    }
}
