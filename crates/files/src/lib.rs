//! Files that nobody vouches for.
//!
//! A folder from somebody else may hold a pipe, a device or a link where a file is expected. Every
//! reader of Duet opens files with [`open`] and reads them with [`read`], so that none of these
//! hangs it or fills its memory: only regular files are read, and at most as many bytes as the
//! caller names, whatever the file's metadata say. What is written into such a folder goes through
//! [`create`], [`create_new`] and [`append`], which follow no link at the last place of the path, or
//! through [`write_whole`], which replaces a file at once or leaves it as it was.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("config.json");
//! std::fs::write(&path, "{}")?;
//! assert_eq!(duet_files::read(&path, 1024)?, b"{}");
//! assert!(duet_files::read(&path, 1).is_err());
//! # Ok(()) }
//! ```

mod kind;
mod read;
mod whole;
mod write;

pub use read::{is_lfs_pointer, lfs_pointer, open, read, read_all, read_text};
pub use whole::{write_whole, write_whole_unsynced};
pub use write::{append, create, create_new};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
