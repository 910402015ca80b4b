//! A run as one HTML file that opens without a network.

mod chart;
mod eval;
pub(crate) mod html;
mod page;
mod picture;
mod training;

pub use training::training_curves;

use crate::error::Result;
use crate::files::{create_parent, write_atomically};
use crate::record::RunRecord;
use crate::run_folder;
use page::Preview;
use picture::Shown;
use std::path::{Path, PathBuf};

/// A larger file is no picture that the page should hold.
const MAX_PICTURE: u64 = 1 << 26;

/// More pictures than this would make a page of many megabytes.
const MOST_PREVIEWS: usize = 60;
/// What `eval` leaves in a run's folder, and what it shows.
const EVAL_PICTURES: [(&str, &str); 2] = [
    ("eval.png", "Images that were measured, a row for each class"),
    ("eval-nearest.png", "Those closest to a training image, above that image, and the distance"),
];

/// Writes the page; how many pictures of the training it shows.
///
/// # Errors
/// Where it cannot be written. What of the run is not there is left out.
pub fn report(record: &RunRecord, out: &Path) -> Result<usize> {
    let previews = previews(&record.folder);
    let sheets = EVAL_PICTURES.into_iter().filter_map(|(name, caption)| {
        Some((caption, Shown::new(duet_files::read(&record.folder.join(name), MAX_PICTURE).ok()?)?))
    });
    let sheets: Vec<(&str, Shown)> = sheets.collect();
    create_parent(out)?;
    write_atomically(out, page::html(record, &previews, &sheets).as_bytes())?;
    Ok(previews.len())
}

/// The pictures of a run in the order of their steps: of very many, some from all of the way and
/// the last.
fn previews(run: &Path) -> Vec<Preview> {
    let found = run_folder::previews(run);
    let apart = found.len().div_ceil(MOST_PREVIEWS).max(1);
    let read = |(step, path): (u64, PathBuf)| {
        Some(Preview { step, picture: Shown::new(duet_files::read(&path, MAX_PICTURE).ok()?)? })
    };
    let mut previews: Vec<Preview> = found.into_iter().rev().step_by(apart).filter_map(read).collect();
    previews.reverse();
    previews
}
