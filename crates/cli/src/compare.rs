//! `compare`: runs side by side, and where their configurations differ.

use crate::exit::usage;
use crate::terminal::{out, print_out};
use anyhow::Result;
use duet_diffusion::files::{create_parent, write_atomically};
use duet_diffusion::{RunRecord, Table};
use std::path::PathBuf;

/// Flags of `compare`.
#[derive(clap::Args)]
pub struct Args {
    /// Runs, finished or not
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    runs: Vec<String>,
    /// Write the table to a file: x.csv or x.md [default: print it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let form: fn(&Table) -> String = match &args.out {
        None => Table::text,
        Some(out) => match out.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Table::csv,
            Some("md") => Table::markdown,
            _ => return Err(usage(format!("--out {}: use x.csv or x.md", out.display()))),
        },
    };
    let runs = args.runs.iter().map(RunRecord::read).collect::<Result<Vec<_>, _>>()?;
    let text = form(&duet_diffusion::compare(&args.runs, &runs));
    match &args.out {
        None => print_out(format_args!("{text}"), ""),
        Some(out) => {
            create_parent(out)?;
            write_atomically(out, text.as_bytes())?;
            out!("{}: {} runs", out.display(), runs.len());
        }
    }
    Ok(())
}
