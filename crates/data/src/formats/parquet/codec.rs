//! Unpacks pages, to the size that they are said to have and no further.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;

/// The bytes of a page, of which there have to be `size`.
pub(super) fn unpacked(codec: Compression, packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    // Some write nothing for nothing, which is no stream of the codec.
    if size == 0 {
        return Ok(Vec::new());
    }
    let wrong = |error: String| format!("a page cannot be unpacked: {error}");
    let bytes = match codec {
        Compression::UNCOMPRESSED => Ok(packed.to_vec()),
        Compression::SNAPPY => match snap::raw::decompress_len(packed).map_err(|e| wrong(e.to_string()))? {
            claimed if claimed == size => {
                snap::raw::Decoder::new().decompress_vec(packed).map_err(|e| e.to_string())
            }
            claimed => Err(format!("it claims {claimed} bytes instead of {size}")),
        },
        Compression::GZIP(_) => to_end(MultiGzDecoder::new(packed), size),
        Compression::ZSTD(_) => match ruzstd::decoding::StreamingDecoder::new(packed) {
            Ok(stream) => to_end(stream, size),
            Err(error) => Err(error.to_string()),
        },
        other => {
            let name = format!("{other:?}");
            let name = name.split('(').next().unwrap_or_default();
            return Err(format!("its pages are packed with {name}, and snappy, gzip and zstd are read"));
        }
    };
    let bytes = bytes.map_err(wrong)?;
    match bytes.len() == size {
        true => Ok(bytes),
        false => Err(wrong(format!("it has {} bytes instead of {size}", bytes.len()))),
    }
}

/// One byte more than expected tells that there are too many.
fn to_end(stream: impl Read, size: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    stream.take(size as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parquet::basic::GzipLevel;

    use super::*;

    #[test]
    fn no_page_is_unpacked_beyond_its_size() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[7; 1 << 20]).unwrap();
        let gzip = gzip.finish().unwrap();
        let codec = Compression::GZIP(GzipLevel::default());
        assert_eq!(unpacked(codec, &gzip, 1 << 20).unwrap().len(), 1 << 20);
        assert!(unpacked(codec, &gzip, 100).unwrap_err().contains("101 bytes instead of 100"));
        let snappy = snap::raw::Encoder::new().compress_vec(&[7; 1000]).unwrap();
        assert_eq!(unpacked(Compression::SNAPPY, &snappy, 1000).unwrap(), [7; 1000]);
        assert!(
            unpacked(Compression::SNAPPY, &snappy, 999)
                .unwrap_err()
                .contains("claims 1000 bytes instead of 999")
        );
        for codec in [codec, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
            assert!(unpacked(codec, b"no stream", 100).unwrap_err().contains("cannot be unpacked"));
        }
        assert!(
            unpacked(Compression::UNCOMPRESSED, b"abc", 100).unwrap_err().contains("3 bytes instead of 100")
        );
    }
}
