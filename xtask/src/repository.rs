//! Where the repository is, and its cargo.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// The root of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A list or a table of figures has a few thousand bytes, a document or a picture some 100,000.
pub const MAX_BYTES: u64 = 1 << 24;

/// A text of the repository.
pub fn read(path: &Path) -> Result<String> {
    duet_files::read_text(path, MAX_BYTES).with_context(|| format!("cannot read {}", path.display()))
}

/// The cargo that runs this program, or else the one on the path.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
}
