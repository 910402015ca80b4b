//! The list of a checkpoint's files with their sizes and hashes.

use crate::TrainError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the manifest within a checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";
const FORMAT_VERSION: u32 = 2;
/// Still read; it had no checksum.
const FIRST_VERSION: u32 = 1;
/// No checkpoint is without these.
const NEEDED: [&str; 3] = ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", STATE_FILE];
/// What training goes on from, and drawing does without.
const STATE_FILE: &str = "training_state.safetensors";
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
    /// BLAKE3 of this manifest's text without this line; empty in version 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
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
        let unsigned =
            Self { format_version: FORMAT_VERSION, step, config_hash, files, checksum: String::new() };
        Self { checksum: unsigned.hash(), ..unsigned }
    }

    /// The text of the file.
    pub(crate) fn to_json(&self) -> String {
        // Maps with text keys and plain values always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Of the text without the checksum.
    fn hash(&self) -> String {
        let unsigned = Self { checksum: String::new(), ..self.clone() };
        blake3::hash(unsigned.to_json().as_bytes()).to_hex().to_string()
    }

    /// Reads a manifest without looking at the files.
    pub fn read(checkpoint: &Path) -> Result<Self, TrainError> {
        let path = checkpoint.join(MANIFEST_FILE);
        let unreadable = |error: std::io::Error| {
            TrainError::checkpoint(checkpoint, format!("not a complete checkpoint: {MANIFEST_FILE}: {error}"))
        };
        if std::fs::metadata(&path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(TrainError::checkpoint(path, "larger than any manifest"));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        Self::from_json(&text).map_err(|reason| TrainError::checkpoint(path, reason))
    }

    /// From the text of the file, or what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| format!("not a manifest: {error}"))?;
        let damaged = match manifest.format_version {
            FORMAT_VERSION => manifest.checksum != manifest.hash() || manifest.to_json() != text,
            FIRST_VERSION => !manifest.checksum.is_empty(),
            other => return Err(format!("format version {other}, this program reads 1 to {FORMAT_VERSION}")),
        };
        match damaged {
            true => Err("damaged: its checksum is not its own; use an older checkpoint".into()),
            false => Ok(manifest),
        }
    }

    /// Reads the manifest of a checkpoint and checks every file against it.
    pub fn verify(checkpoint: &Path) -> Result<Self, TrainError> {
        Self::verify_but(checkpoint, |_| false)
    }

    /// The same, where the training state may be absent: a model draws without it. Returns whether it
    /// is there.
    pub fn verify_model(checkpoint: &Path) -> Result<bool, TrainError> {
        let there = checkpoint.join(STATE_FILE).symlink_metadata().is_ok();
        Self::verify_but(checkpoint, |name| name == STATE_FILE && !there)?;
        Ok(there)
    }

    fn verify_but(checkpoint: &Path, passed: impl Fn(&str) -> bool) -> Result<Self, TrainError> {
        let manifest = Self::read(checkpoint)?;
        if let Some(name) = NEEDED.iter().find(|name| !manifest.files.contains_key(**name)) {
            return Err(TrainError::checkpoint(checkpoint, format!("its manifest does not name {name}")));
        }
        for (name, entry) in manifest.files.iter().filter(|(name, _)| !passed(name)) {
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
