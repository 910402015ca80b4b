//! `sweep`: a table and a contact sheet over any two flags of `sample`.

use crate::drawing::DrawingArgs;
use crate::hardware::Machine;
use crate::job;
use crate::progress::Progress;
use crate::terminal::{out, print_out};
use anyhow::Result;
use duet_diffusion::Sweep;
use std::path::PathBuf;

/// Flags of `sweep`.
#[derive(clap::Args)]
pub struct Args {
    /// What differs from row to row: a flag of `sample` and its values, such as guidance=1,2,4, or
    /// sharpness, interval-low or interval-high; values with commas are separated by semicolons
    #[arg(long, help_heading = "What differs", value_name = "FLAG=VALUES", allow_hyphen_values = true)]
    rows: String,
    /// What differs from column to column
    #[arg(long, help_heading = "What differs", value_name = "FLAG=VALUES", allow_hyphen_values = true)]
    columns: Option<String>,
    /// Images of each cell that are scored by `eval`'s quick metrics, spread over all classes; 0 for none
    #[arg(long, help_heading = "What differs", value_name = "N", default_value_t = 0)]
    score: usize,
    #[command(flatten)]
    drawing: DrawingArgs,
    /// Where sheet.png, table.csv and what is done of them go; run again, the sweep goes on
    #[arg(long, help_heading = "Output", value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let device = args.machine.start()?;
    let drawing = args.drawing.drawing()?;
    let sweep = Sweep {
        rows: &args.rows,
        columns: args.columns.as_deref(),
        drawing: &drawing,
        score: args.score,
        batch: args.machine.batch,
        out: &args.out,
        device: &device,
        job: job::current(),
    };
    let mut progress = None;
    let swept = sweep.run(|done, total| {
        let progress = progress.get_or_insert_with(|| Progress::new(0, total as u64, 1, "cells/s"));
        if done > 0 {
            progress.show(done as u64, "");
        }
    })?;
    if let Some(progress) = progress {
        progress.finish();
    }
    print_out(format_args!("{}", swept.csv), "");
    out!("{} cells: {} and {}", swept.cells, swept.sheet.display(), swept.table.display());
    Ok(())
}
