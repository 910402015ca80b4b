//! What can go wrong between candle's tensors and the files.

use std::io;
use std::path::{Path, PathBuf};

use crate::set::PublicSet;

/// An error of this library. The message is whole: it names the file, the cause and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The tensors are not those of the set; nothing has been written.
    #[error("{set} is not as it was published: {cause}")]
    Data {
        /// What the data was taken for.
        set: PublicSet,
        /// What is wrong, with the expected and the real values.
        cause: String,
    },
    /// The place for the files is taken.
    #[error("{} exists and {what}; name a new directory, or an empty one", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// What it is, as a verb phrase.
        what: &'static str,
    },
    /// The operating system refused to write, and what had been written is removed again.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl HubError {
    pub(crate) fn data(set: PublicSet, cause: impl Into<String>) -> Self {
        HubError::Data { set, cause: cause.into() }
    }

    pub(crate) fn write(path: &Path, cause: io::Error) -> Self {
        HubError::Write { path: path.into(), cause }
    }
}
