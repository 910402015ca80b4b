//! Reads untrusted safetensors files.
//!
//! The header is checked against the file's size before any tensor is allocated. Values are read tensor by
//! tensor. This reader rejects what the crate `safetensors` accepts: duplicate names, very large headers,
//! NaN and infinity.

use crate::error::ModelError;
use crate::memory::check_memory;
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::Formatter;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The largest header in bytes.
const MAX_HEADER: u64 = 1 << 20;
/// The largest number of tensors in a file.
const MAX_TENSORS: usize = 4096;
/// The largest number of dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Reads every tensor of a safetensors file: F32, F16 and BF16 as f32, I64 as i64.
///
/// It needs as much memory as the file has bytes, and twice as much for 16-bit values.
///
/// Errors: a header above 1 MiB; more than 4,096 tensors; more than 8 dimensions; other types; a duplicate
/// name; offsets that overlap, leave gaps or do not fit the shape or the file; values that are not finite;
/// a file that does not fit into memory. The error names the file and the tensor.
pub fn read_tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    let file = duet_files::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut file = BufReader::new(file);
    if duet_files::is_lfs_pointer(file.fill_buf().map_err(read)?) {
        return Err(read(duet_files::lfs_pointer()));
    }
    check_memory("its tensors", Some(size))
        .map_err(|error| ModelError::File { path: path.into(), reason: error.to_string() })?;
    read_from(&mut file, size, device).map_err(|error| match error {
        Failure::Read(cause) => read(cause),
        Failure::Refused(reason) => ModelError::File { path: path.into(), reason },
        Failure::Candle(error) => error.into(),
    })
}

/// As [`read_tensors`], from the bytes of a file.
pub fn tensors_from_bytes(bytes: &[u8], device: &Device) -> Result<BTreeMap<String, Tensor>, ModelError> {
    read_from(&mut &*bytes, bytes.len() as u64, device).map_err(|error| match error {
        Failure::Read(cause) => ModelError::Weights(cause.to_string()),
        Failure::Refused(reason) => ModelError::Weights(reason),
        Failure::Candle(error) => error.into(),
    })
}

enum Failure {
    Read(std::io::Error),
    Refused(String),
    Candle(candle_core::Error),
}

fn read_from(file: &mut impl Read, size: u64, device: &Device) -> Result<BTreeMap<String, Tensor>, Failure> {
    let (entries, header) = read_header(file, size)?;
    check_layout(&entries, size - header).map_err(Failure::Refused)?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in entries {
        let mut bytes = vec![0; (entry.data_offsets.1 - entry.data_offsets.0) as usize];
        file.read_exact(&mut bytes).map_err(Failure::Read)?;
        let tensor = tensor(&name, &entry, &bytes, device)?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    /// The number of bytes of a value; none for a type that is not read.
    fn width(&self) -> Option<u64> {
        match self.dtype.as_str() {
            "F32" => Some(4),
            "F16" | "BF16" => Some(2),
            "I64" => Some(8),
            _ => None,
        }
    }
}

/// The tensors in the order of their bytes, and the bytes before the first.
fn read_header(file: &mut impl Read, size: u64) -> Result<(Vec<(String, Entry)>, u64), Failure> {
    let refuse =
        |reason: String| Err(Failure::Refused(format!("not a safetensors file that is read here: {reason}")));
    let mut length = [0; 8];
    if size < 8 {
        return refuse(format!("it has {size} bytes, fewer than the length of a header takes"));
    }
    file.read_exact(&mut length).map_err(Failure::Read)?;
    let length = u64::from_le_bytes(length);
    if length > size - 8 {
        return refuse(format!("its header claims {length} bytes, the file has {size}"));
    }
    if length > MAX_HEADER {
        return refuse(format!("its header has {length} bytes, more than {MAX_HEADER}"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(Failure::Read)?;
    let header: TensorHeader = match serde_json::from_slice(&header) {
        Ok(header) => header,
        Err(error) => return refuse(error.to_string()),
    };
    let mut entries = header.0;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    Ok((entries, 8 + length))
}

/// Entries in the order of the file, without the metadata.
struct TensorHeader(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for TensorHeader {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = TensorHeader;

            fn expecting(&self, f: &mut Formatter) -> std::fmt::Result {
                f.write_str("an object with an entry for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorHeader, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    let entry: Entry = map.next_value()?;
                    if entries.contains_key(&name) {
                        return Err(A::Error::custom(format!("{name} comes twice")));
                    }
                    entries.insert(name, entry);
                }
                Ok(TensorHeader(entries.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Checks that the tensors, in the order of their bytes, fill the data without gap or overlap.
fn check_layout(entries: &[(String, Entry)], data: u64) -> Result<(), String> {
    let mut end = 0;
    for (name, entry) in entries {
        let Entry { dtype, shape, data_offsets: (first, last) } = entry;
        let refuse = |reason: String| Err(format!("{name}: {reason}"));
        let Some(width) = entry.width() else {
            return refuse(format!("its type is {dtype}; F32, F16, BF16 and I64 are read"));
        };
        if shape.len() > MAX_RANK {
            return refuse(format!("it has {} dimensions, more than {MAX_RANK}", shape.len()));
        }
        let bytes = shape.iter().try_fold(width, |product, &side| product.checked_mul(side));
        if last < first || bytes != Some(last - first) {
            return refuse(format!("bytes {first} to {last} do not hold {dtype} values of shape {shape:?}"));
        }
        if *first != end {
            let what = if *first < end { "overlap with another tensor's" } else { "leave a gap before them" };
            return refuse(format!("bytes {first} to {last} {what}"));
        }
        end = *last;
    }
    match end == data {
        true => Ok(()),
        false => Err(format!("its tensors take {end} bytes, it has {data} for them: cut off or overlong")),
    }
}

fn tensor(name: &str, entry: &Entry, bytes: &[u8], device: &Device) -> Result<Tensor, Failure> {
    let shape: Vec<usize> = entry.shape.iter().map(|&side| side as usize).collect();
    if entry.dtype == "I64" {
        let values = bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()));
        return Tensor::from_vec(values.collect(), shape, device).map_err(Failure::Candle);
    }
    let pairs = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let values: Vec<f32> = match entry.dtype.as_str() {
        "F16" => pairs().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
        "BF16" => pairs().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    };
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Failure::Refused(format!("{name} has a value that is not finite: {value}"))),
        None => Tensor::from_vec(values, shape, device).map_err(Failure::Candle),
    }
}
