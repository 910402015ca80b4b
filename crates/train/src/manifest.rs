//! The list of a checkpoint's files with their sizes and hashes.

use crate::TrainError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the manifest within a checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";
const FORMAT_VERSION: u32 = 1;
/// A larger manifest is no manifest.
const MAX_BYTES: u64 = 1 << 20;

/// What a checkpoint consists of; written last, so that its presence means that all is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the folder's format.
    pub format_version: u32,
    /// Optimiser steps taken.
    pub step: u64,
    /// BLAKE3 of the run's configuration.
    pub config_hash: String,
    /// Every other file by its path within the folder, with forward slashes.
    pub files: BTreeMap<String, FileEntry>,
}

/// Size and hash of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Bytes.
    pub size: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
}

impl FileEntry {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }
}

impl Manifest {
    pub(crate) fn new(step: u64, config_hash: String, files: BTreeMap<String, FileEntry>) -> Self {
        Self { format_version: FORMAT_VERSION, step, config_hash, files }
    }

    /// Reads the manifest of a checkpoint and checks every file against it.
    pub fn verify(checkpoint: &Path) -> Result<Self, TrainError> {
        let path = checkpoint.join(MANIFEST_FILE);
        let unreadable = |error: std::io::Error| {
            TrainError::checkpoint(checkpoint, format!("not a complete checkpoint: {MANIFEST_FILE}: {error}"))
        };
        if std::fs::metadata(&path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(TrainError::checkpoint(path, "larger than any manifest"));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|error| TrainError::checkpoint(&path, format!("not a manifest: {error}")))?;
        if manifest.format_version != FORMAT_VERSION {
            let reason =
                format!("format version {}, this program reads {FORMAT_VERSION}", manifest.format_version);
            return Err(TrainError::checkpoint(path, reason));
        }
        for (name, entry) in &manifest.files {
            check_file(checkpoint, name, entry)?;
        }
        Ok(manifest)
    }
}

fn check_file(checkpoint: &Path, name: &str, entry: &FileEntry) -> Result<(), TrainError> {
    if name.split('/').any(|part| part.is_empty() || part == ".." || part.contains('\\')) {
        return Err(TrainError::checkpoint(
            checkpoint,
            format!("its manifest names a file outside it: {name}"),
        ));
    }
    let path = checkpoint.join(name);
    let damaged =
        |reason: String| TrainError::checkpoint(&path, format!("damaged: {reason}; use an older checkpoint"));
    let size = std::fs::metadata(&path).map_err(|error| damaged(error.to_string()))?.len();
    if size != entry.size {
        return Err(damaged(format!("{size} bytes, expected {}", entry.size)));
    }
    let bytes = std::fs::read(&path).map_err(|error| damaged(error.to_string()))?;
    match FileEntry::of(&bytes) == *entry {
        true => Ok(()),
        false => Err(damaged("its hash is not the one it was saved with".into())),
    }
}
