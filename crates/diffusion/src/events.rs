//! The record of what happened to a run, `events.jsonl`: one JSON object a line.

use crate::error::Result;
use duet_train::TrainError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file in a run's folder.
pub const EVENTS: &str = "events.jsonl";
/// A longer record is that of no run.
const MAX_EVENTS: u64 = 1 << 28;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The training began, or went on.
    Started {
        /// Steps taken before.
        step: u64,
        /// Steps of the whole run.
        of: u64,
        /// A line about the data.
        data: String,
    },
    /// A checkpoint was saved.
    Saved {
        /// Steps taken.
        step: u64,
        /// The checkpoint's folder.
        checkpoint: String,
    },
    /// Drawn images are copies of training images more often than held-out ones seem to be, for the first time.
    CopiesRose {
        /// Steps taken.
        step: u64,
        /// The share of the drawn images.
        memorised_share: f64,
        /// The share of the held-out images.
        held_out_memorised_share: f64,
        /// How probable that is by chance.
        p: f64,
        /// The last measurement before it that shows nothing of it; `best` is no later.
        best: Option<u64>,
    },
    /// The last step was taken.
    Done {
        /// Steps taken.
        step: u64,
        /// Since the training began or went on.
        seconds: f64,
        /// Of that time.
        images_per_second: f64,
    },
}

/// The events of a run in their order; none where there is no such file. A line that is no event is passed over: a
/// crash cuts one short, and a later version may have others.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn read(run: &Path) -> Result<Vec<Event>> {
    let path = run.join(EVENTS);
    let bytes = match duet_files::read(&path, MAX_EVENTS) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes.map_err(|cause| TrainError::Read { path, cause })?,
    };
    Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}
