//! Helpers of several tests: files in a temporary directory.

// Every test file uses some of these.
#![allow(dead_code)]

pub mod jpeg_bytes;
pub mod mutate;
pub mod png_bytes;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use duet_data::{DataError, Dataset, FolderOptions, Splits};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

pub fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file, and the directories above it.
pub fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn open(dir: &Path) -> Result<Splits, DataError> {
    duet_data::open(dir, &FolderOptions::default())
}

/// The message of the error that opening `dir` gives.
pub fn refusal(dir: &Path) -> String {
    open(dir).expect_err("the directory should be refused").to_string()
}

/// Asserts that a message has each of these parts.
#[track_caller]
pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// An IDX file of images.
pub fn idx_images(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [count, rows, columns] {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend(pixels);
    bytes
}

/// An IDX file of labels.
pub fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

/// The pixels of an image, which must have 8 bits.
pub trait Bytes {
    fn bytes(&self, i: usize) -> &[u8];
}

impl Bytes for Dataset {
    fn bytes(&self, i: usize) -> &[u8] {
        self.pixels(i).bytes().expect("8 bits")
    }
}
