//! The list of a checkpoint's files with their sizes and hashes.

use crate::error::TrainError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Name of the manifest within a checkpoint.
pub const MANIFEST_FILE: &str = "manifest.json";
const FORMAT_VERSION: u32 = 2;
/// The first version of the format. It is still read; it had no checksum.
const FIRST_VERSION: u32 = 1;
/// The files that every checkpoint has.
const NEEDED: [&str; 3] = ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", STATE_FILE];
/// The state from which training continues. Drawing does not need it.
pub(crate) const STATE_FILE: &str = "training_state.safetensors";
/// The largest manifest that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The number of bytes that are read and hashed at a time.
const PART: usize = 1 << 16;

/// The files of a checkpoint. The manifest is written last, so a checkpoint with a manifest has all its
/// files.
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
    /// The entry for these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }

    /// Compares a file with this entry and returns what differs, if anything. It reads no more bytes than
    /// the file should have. Errors: a file that cannot be read.
    pub fn difference(&self, path: &Path) -> io::Result<Option<String>> {
        let file = duet_files::open(path)?;
        let size = file.metadata()?.len();
        if size != self.size {
            return Ok(Some(format!("{size} bytes, expected {}", self.size)));
        }
        let (mut hasher, mut part) = (blake3::Hasher::new(), vec![0; PART]);
        let mut file = file.take(self.size);
        loop {
            match file.read(&mut part) {
                Ok(0) => break,
                Ok(count) => drop(hasher.update(&part[..count])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let same = hasher.finalize().to_hex().as_str() == self.blake3;
        Ok((!same).then(|| "its hash is not the one it was saved with".into()))
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

    /// The hash of the text without the checksum.
    fn hash(&self) -> String {
        let unsigned = Self { checksum: String::new(), ..self.clone() };
        blake3::hash(unsigned.to_json().as_bytes()).to_hex().to_string()
    }

    /// Reads a manifest, but not the files that it lists. Errors: a manifest that is missing, too long or
    /// wrong.
    pub fn read(checkpoint: &Path) -> Result<Self, TrainError> {
        let path = checkpoint.join(MANIFEST_FILE);
        let incomplete = |error: io::Error| {
            TrainError::checkpoint(checkpoint, format!("not a complete checkpoint: {MANIFEST_FILE}: {error}"))
        };
        let text = duet_files::read_text(&path, MAX_BYTES)
            .map_err(|error| TrainError::of_reading(&path, error, incomplete))?;
        Self::from_json(&text).map_err(|reason| TrainError::checkpoint(path, reason))
    }

    /// Reads the text of a manifest. The error says what is wrong with it.
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

    /// Reads the manifest of a checkpoint and checks every file against it. Errors: as [`Manifest::read`];
    /// a file that differs, the first one named.
    pub fn verify(checkpoint: &Path) -> Result<Self, TrainError> {
        Self::verify_but(checkpoint, |_| false)
    }

    /// As [`Manifest::verify`], but the training state may be absent, because a model draws without it.
    /// Returns whether it is there.
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
    let found = entry.difference(&path);
    match found.map_err(|error| TrainError::of_reading(&path, error, |error| damaged(error.to_string())))? {
        Some(difference) => Err(damaged(difference)),
        None => Ok(()),
    }
}
