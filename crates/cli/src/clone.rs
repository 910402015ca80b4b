//! The clone of the repository that this program was built in.

use std::path::{Path, PathBuf};

/// The clone that a program was built in: cargo runs it there, or it lies in the clone's target folder.
pub fn clone_of(own: &Path) -> Option<PathBuf> {
    let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folders = by_cargo.iter().flat_map(|path| path.ancestors()).chain(own.ancestors());
    folders.map(Path::to_path_buf).find(|path| path.join("crates/hub/Cargo.toml").is_file())
}
