//! `cargo xtask report`: a run as one HTML file that opens without a network.

use crate::exit::usage;
use crate::report_page::{self, Preview, Shown};
use crate::run_record::RunRecord;
use crate::sample::{create_parent, write_atomically};
use crate::terminal::out;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A larger file is no picture that the page should hold.
const MAX_PICTURE: u64 = 1 << 26;

/// Flags of `report`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, finished or not
    #[arg(value_name = "RUN|latest", default_value = "latest")]
    run: String,
    /// The page [default: report.html in the run's folder]
    #[arg(long, value_name = "x.html")]
    out: Option<PathBuf>,
}

/// More pictures than this would make a page of many megabytes.
const PREVIEWS: usize = 60;
/// What `eval` leaves in a run's folder, and what it shows.
const EVAL_PICTURES: [(&str, &str); 2] = [
    ("eval.png", "Images that were measured, a row for each class"),
    ("eval-nearest.png", "Those closest to a training image, above that image, and the distance"),
];

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        let extension = out.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("html" | "htm")) || out.is_dir() {
            return Err(usage(format!("--out {}: use x.html", out.display())));
        }
    }
    let record = RunRecord::read(&args.run)?;
    let out = args.out.unwrap_or_else(|| record.folder.join("report.html"));
    let previews = previews(&record.folder.join("samples"));
    let sheets = EVAL_PICTURES.into_iter().filter_map(|(name, caption)| {
        Some((caption, Shown::new(duet_files::read(&record.folder.join(name), MAX_PICTURE).ok()?)?))
    });
    let sheets: Vec<(&str, Shown)> = sheets.collect();
    create_parent(&out)?;
    write_atomically(&out, report_page::html(&record, &previews, &sheets).as_bytes())?;
    out!("{}: {} steps, {} pictures", out.display(), record.steps(), previews.len());
    Ok(())
}

/// The pictures of a run in the order of their steps: of very many, some from all of the way and
/// the last.
fn previews(folder: &Path) -> Vec<Preview> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let step: u64 = name.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()?;
        Some((step, entry.path()))
    });
    let mut found: Vec<(u64, PathBuf)> = numbered.collect();
    found.sort();
    let apart = found.len().div_ceil(PREVIEWS).max(1);
    let read = |(step, path): (u64, PathBuf)| {
        Some(Preview { step, picture: Shown::new(duet_files::read(&path, MAX_PICTURE).ok()?)? })
    };
    let mut previews: Vec<Preview> = found.into_iter().rev().step_by(apart).filter_map(read).collect();
    previews.reverse();
    previews
}
