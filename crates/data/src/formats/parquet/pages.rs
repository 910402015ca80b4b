//! The pages of a column, checked before memory is taken for them.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use super::codec;
use super::header::{self, PageHeader};

/// No packed page of gzip or snappy is longer unpacked than this many times its bytes, and one of zstd that is,
/// holds no images.
const MOST_TIMES: u64 = 1100;
/// Of a page that hardly has bytes, as of a column whose values are all alike; usual ones have 1 MB unpacked.
const SMALL: u64 = 1 << 22;
/// Most values of a page.
const MAX_VALUES: i64 = 1 << 24;
/// Most lengths that a byte of a page holds, where they are written as differences.
const VALUES_OF_A_BYTE: u64 = 64;

/// Reads the pages of a column's chunk one by one.
pub(super) struct Pages<R> {
    file: Arc<R>,
    at: u64,
    end: u64,
    /// How many values follow. For none, some write half a page.
    values: i64,
    layout: Layout,
}

/// What a page's header leaves out.
#[derive(Clone, Copy)]
struct Layout {
    codec: Compression,
    /// Whether the values have levels in front, which say which are null.
    has_levels: bool,
}

impl<R: ChunkReader> Pages<R> {
    /// # Errors
    /// A chunk that is not within the file.
    pub(super) fn of(file: Arc<R>, chunk: &ColumnChunkMetaData) -> std::result::Result<Self, String> {
        let first = chunk.data_page_offset();
        let begin =
            chunk.dictionary_page_offset().filter(|&offset| 0 < offset && offset < first).unwrap_or(first);
        let end = begin.checked_add(chunk.compressed_size());
        let range = u64::try_from(begin).ok().zip(end.and_then(|end| u64::try_from(end).ok()));
        match range.filter(|(begin, end)| begin <= end && *end <= file.len()) {
            Some((at, end)) => {
                let has_levels = chunk.column_descr().max_def_level() > 0;
                Ok(Self {
                    file,
                    at,
                    end,
                    values: chunk.num_values(),
                    layout: Layout { codec: chunk.compression(), has_levels },
                })
            }
            None => Err("a column is said to be where the file has ended: it is cut".into()),
        }
    }

    fn next_page(&mut self) -> std::result::Result<Option<Page>, String> {
        while self.at < self.end && self.values > 0 {
            let stream = self.file.get_read(self.at).map_err(|error| error.to_string())?;
            let (header, length) = header::read(std::io::Read::take(stream, self.end - self.at))?;
            self.at += length;
            let size = |size: i64| u64::try_from(size).map_err(|_| "a page has a negative size".to_string());
            let (packed, unpacked) = (size(header.compressed)?, size(header.uncompressed)?);
            if packed > self.end - self.at {
                return Err(format!("a page of {packed} bytes is longer than what is left of its column"));
            }
            if unpacked > SMALL + MOST_TIMES * packed {
                return Err(format!("a page of {packed} bytes claims {unpacked} unpacked"));
            }
            let body = self.file.get_bytes(self.at, packed as usize).map_err(|error| error.to_string())?;
            self.at += packed;
            // An index is for finding values, which are all read here.
            if header.kind != 1 {
                let page = page(&header, self.layout, body, unpacked as usize)?;
                self.values -= if page.is_data_page() { i64::from(page.num_values()) } else { 0 };
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

/// The page with this header and these packed bytes.
fn page(header: &PageHeader, layout: Layout, body: Bytes, size: usize) -> std::result::Result<Page, String> {
    let number = |number: i64| match number {
        0..=MAX_VALUES => Ok(number as u32),
        _ => Err(format!("a page claims {number} values, rows or bytes")),
    };
    let num_values = number(header.values)?;
    let encoding = encoding(header.encoding)?;
    let codec = layout.codec;
    match header.kind {
        0 => {
            let buf = Bytes::from(codec::unpacked(codec, &body, size)?);
            let [def_level_encoding, rep_level_encoding] = header.level_encodings.map(self::encoding);
            let (def_level_encoding, rep_level_encoding) = (def_level_encoding?, rep_level_encoding?);
            check_lengths(encoding, num_values, if layout.has_levels { after_levels(&buf)? } else { &buf })?;
            Ok(Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics: None,
            })
        }
        2 => {
            let buf = Bytes::from(codec::unpacked(codec, &body, size)?);
            // A text has a length of 4 bytes, and a number of the dictionary has 4 or 8.
            if num_values as usize > buf.len() / 4 {
                return Err(format!("a dictionary of {} bytes claims {num_values} values", buf.len()));
            }
            Ok(Page::DictionaryPage { buf, num_values, encoding, is_sorted: false })
        }
        3 => {
            let [def_levels_byte_len, rep_levels_byte_len] = header.level_bytes.map(number);
            let (def_levels_byte_len, rep_levels_byte_len) = (def_levels_byte_len?, rep_levels_byte_len?);
            let levels = (def_levels_byte_len + rep_levels_byte_len) as usize;
            if levels > body.len() || levels > size {
                return Err(format!("a page of {} bytes claims {levels} of levels", body.len()));
            }
            let codec = if header.is_compressed { codec } else { Compression::UNCOMPRESSED };
            let values = codec::unpacked(codec, &body[levels..], size - levels)?;
            check_lengths(encoding, num_values, &values)?;
            let buf = Bytes::from([&body[..levels], &values].concat());
            let [num_nulls, num_rows] = header.nulls_and_rows.map(number);
            Ok(Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls: num_nulls?,
                num_rows: num_rows?,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed: false,
                statistics: None,
            })
        }
        other => Err(format!("a page of kind {other}, which is none")),
    }
}

/// What follows the levels of a page of the first version, which have their length in front.
fn after_levels(page: &[u8]) -> std::result::Result<&[u8], String> {
    let (length, rest) = page.split_first_chunk::<4>().ok_or("a page is cut within its levels")?;
    rest.get(u32::from_le_bytes(*length) as usize..).ok_or("a page is cut within its levels".into())
}

/// Lengths of texts begin with their number, for which memory is taken at once.
fn check_lengths(encoding: Encoding, values: u32, page: &[u8]) -> std::result::Result<(), String> {
    if encoding != Encoding::DELTA_LENGTH_BYTE_ARRAY {
        return Ok(());
    }
    // After the size of a block and the number of its parts.
    match header::varints(page).nth(2) {
        Some(count) if count <= values.into() && count <= VALUES_OF_A_BYTE * page.len() as u64 => Ok(()),
        _ => Err(format!("a page of {} bytes claims more than its {values} lengths", page.len())),
    }
}

fn encoding(number: i64) -> std::result::Result<Encoding, String> {
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        other => return Err(format!("a page of encoding {other}, which is not read")),
    })
}

impl<R: ChunkReader> PageReader for Pages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.next_page().map_err(ParquetError::General)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Err(ParquetError::NYI("pages are read in their order".into()))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        Err(ParquetError::NYI("pages are read in their order".into()))
    }
}

impl<R: ChunkReader> Iterator for Pages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Layout = Layout { codec: Compression::UNCOMPRESSED, has_levels: false };

    fn refused(header: PageHeader, body: &[u8], size: usize) -> String {
        page(&header, PLAIN, Bytes::copy_from_slice(body), size).map(drop).unwrap_err()
    }

    /// Block size, number of parts, number of lengths, as many as are said.
    fn lengths(count: &[u8]) -> Vec<u8> {
        [&[0x80, 0x01, 4][..], count, &[0; 20]].concat()
    }

    #[test]
    fn what_a_header_claims_is_compared_with_the_bytes_that_are_there() {
        let dictionary = |values| PageHeader { kind: 2, values, ..PageHeader::default() };
        assert!(refused(dictionary(3), &[0; 8], 8).contains("a dictionary of 8 bytes claims 3 values"));
        assert!(refused(dictionary(i64::MAX), &[0; 8], 8).contains("claims"));
        assert!(refused(dictionary(-1), &[0; 8], 8).contains("claims -1"));
        assert!(page(&dictionary(2), PLAIN, Bytes::from_static(&[0; 8]), 8).is_ok());
        let second = |level_bytes| PageHeader { kind: 3, level_bytes, ..PageHeader::default() };
        assert!(refused(second([5, 4]), &[0; 8], 20).contains("claims 9 of levels"));
        assert!(refused(second([i64::MAX, 1]), &[0; 8], 20).contains("claims"));
        assert!(refused(second([1, 1]), &[0; 8], 20).contains("instead of 18"));
        let coded = |encoding| PageHeader { encoding, level_encodings: [3, 3], ..PageHeader::default() };
        assert!(refused(coded(7), &[0; 8], 8).contains("encoding 7"));
        assert!(refused(coded(6), &lengths(&[0xff, 0xff, 0xff, 0xff, 0x07]), 28).contains("claims more"));
        assert!(refused(PageHeader { kind: 9, ..PageHeader::default() }, &[], 0).contains("kind 9"));
    }

    #[test]
    fn of_lengths_behind_levels_the_number_is_found() {
        let header = PageHeader { encoding: 6, values: 2, level_encodings: [3, 3], ..PageHeader::default() };
        let with_levels = |count: &[u8]| Bytes::from([&[2, 0, 0, 0, 9, 9][..], &lengths(count)].concat());
        let layout = Layout { has_levels: true, ..PLAIN };
        let read = |body: Bytes| page(&header, layout, body.clone(), body.len()).map(drop);
        assert!(read(with_levels(&[2])).is_ok());
        assert!(read(with_levels(&[3])).unwrap_err().contains("claims more than its 2 lengths"));
        assert!(read(Bytes::from_static(&[200, 0, 0, 0, 9])).unwrap_err().contains("cut within its levels"));
    }
}
