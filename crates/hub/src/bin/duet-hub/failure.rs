//! Why there is no data set, and the exit code that says so.

use std::path::PathBuf;
use std::time::Duration;

use duet_hub::{HubError, PublicSet};

/// Everything that ends the program without a data set.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(
        "cannot download {set}: no network ({cause})\n{}",
        instead(*set, out)
    )]
    NoNetwork { set: PublicSet, cause: String, out: PathBuf },

    #[error("cannot download {set}: {cause}\n{}", instead(*set, out))]
    Download { set: PublicSet, cause: String, out: PathBuf },

    #[error(
        "cannot download {set}: it is not done after {} s\nTry again with a longer --timeout. {}",
        limit.as_secs(),
        instead(*set, out)
    )]
    TooSlow { set: PublicSet, limit: Duration, out: PathBuf },

    #[error(
        "the download of {set} cannot be read: {cause}\n\
         If it was cut short, remove its folder from the cache of Hugging Face's tools (usually \
         ~/.cache/huggingface/hub) and try again."
    )]
    Damaged { set: PublicSet, cause: String },

    #[error(transparent)]
    Hub(#[from] HubError),
}

impl Failure {
    /// 2 usage, 4 data, 6 I/O.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Hub(HubError::Occupied { .. }) => 2,
            Failure::Damaged { .. } | Failure::Hub(HubError::Data { .. }) => 4,
            _ => 6,
        }
    }
}

/// What a person can do without a download.
fn instead(set: PublicSet, out: &std::path::Path) -> String {
    let dir = out.display();
    // The files of class names are optional.
    let names: Vec<&str> = set.file_names().into_iter().filter(|name| !name.ends_with(".txt")).collect();
    format!(
        "Run the same on a machine with a network and copy {dir} from there, or put the published \
         files into {dir} yourself:\n  {}\nThen train on them with: cargo xtask train --data {dir}",
        names.join("\n  ")
    )
}
