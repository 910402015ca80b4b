//! `verify`: every byte of a run's checkpoints and snapshots against what is noted of them, its
//! configuration, and its metrics.

use crate::exit;
use crate::terminal::out;
use anyhow::Result;
use std::path::PathBuf;

/// Flags of `verify`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the verb: everything is looked at, and the first damage decides the exit code.
pub fn run(args: Args) -> Result<()> {
    let mut first = None;
    duet_diffusion::verify(&args.folder, |name, found| match found {
        Ok(what) => out!("whole    {}: {what}", name.display()),
        Err(error) => {
            let error = anyhow::Error::from(error);
            out!("DAMAGED  {}", exit::text(&error));
            first = first.take().or(Some(error));
        }
    })?;
    first.map_or(Ok(()), Err)
}
