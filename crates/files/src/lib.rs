//! Reads files from untrusted folders, and writes into such folders.
//!
//! A folder from somebody else may hold a pipe, a device or a link where a file is expected. A pipe could
//! hang a program, and a device could fill its memory. Therefore all of Duet opens files with [`open`] and
//! reads them with [`read`]: these take only regular files, and at most as many bytes as the caller allows,
//! whatever the file's metadata say. [`create`], [`create_new`] and [`append`] write into such a folder and
//! never follow a link at the end of the path. [`write_whole`] replaces a file as a whole, or leaves it as
//! it was. [`protobuf`] writes and reads the messages of some formats.
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
pub mod protobuf;
mod read;
mod whole;
mod write;

pub use read::{is_lfs_pointer, lfs_pointer, open, read, read_all, read_text};
pub use whole::{is_temporary, write_whole, write_whole_unsynced};
pub use write::{append, create, create_new};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
