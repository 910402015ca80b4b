//! Files that a drawing names, on disk or in memory.

use crate::error::Result;
use duet_data::DataError;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A larger file is no picture.
const MAX_PICTURE_BYTES: u64 = 512 << 20;
/// Files that are longer are not looked at, whatever a picture says of them.
const MAX_FILE_BYTES: u64 = 1 << 32;

/// Pictures in memory, by the path under which a drawing names them. What is not among them is on disk.
#[derive(Debug, Clone, Default)]
pub struct Inputs(BTreeMap<PathBuf, Vec<u8>>);

impl Inputs {
    /// Also has this file.
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        self.0.insert(path.into(), bytes);
        self
    }

    /// The bytes of a picture's file.
    pub(crate) fn picture(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        match self.0.get(path) {
            Some(bytes) => Ok(bytes.into()),
            None => Ok(read_picture(path)?.into()),
        }
    }

    /// The hash of a file.
    pub(crate) fn hash(&self, path: &Path) -> Result<String> {
        match self.0.get(path) {
            Some(bytes) => Ok(blake3::hash(bytes).to_string()),
            None => hash_of(path),
        }
    }
}

/// The bytes of a picture's file.
pub(crate) fn read_picture(path: &Path) -> Result<Vec<u8>> {
    let bytes = duet_files::read(path, MAX_PICTURE_BYTES);
    Ok(bytes.map_err(|cause| DataError::Read { path: path.into(), cause })?)
}

/// The hash of a file on disk.
pub(crate) fn hash_of(path: &Path) -> Result<String> {
    let read = |cause| DataError::Read { path: path.into(), cause };
    let mut file = duet_files::open(path).map_err(read)?.take(MAX_FILE_BYTES);
    let mut hasher = blake3::Hasher::new();
    let size = std::io::copy(&mut file, &mut hasher).map_err(read)?;
    if size == MAX_FILE_BYTES {
        return Err(read(std::io::ErrorKind::FileTooLarge.into()).into());
    }
    Ok(hasher.finalize().to_string())
}
