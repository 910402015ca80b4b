//! `report`: a run as one HTML file that opens without a network.

use crate::exit::usage;
use crate::terminal::out;
use anyhow::Result;
use duet_diffusion::RunRecord;
use std::path::{Path, PathBuf};

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

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        check_html(out)?;
    }
    let record = RunRecord::read(&args.run)?;
    let out = args.out.unwrap_or_else(|| record.folder.join("report.html"));
    let pictures = duet_diffusion::report(&record, &out)?;
    out!("{}: {} steps, {pictures} pictures", out.display(), record.steps());
    Ok(())
}

/// Refuses a name that no browser takes for a page.
pub fn check_html(out: &Path) -> Result<()> {
    let extension = out.extension().and_then(|extension| extension.to_str());
    match matches!(extension, Some("html" | "htm")) && !out.is_dir() {
        true => Ok(()),
        false => Err(usage(format!("--out {}: use x.html", out.display()))),
    }
}
