//! `reproduce`: draws a picture again from what it says of itself.

use crate::hardware::Compute;
use crate::terminal::out;
use anyhow::Result;
use duet_diffusion::files::{create_parent, write_atomically};
use std::path::PathBuf;

/// Flags of `reproduce`.
#[derive(clap::Args)]
pub struct Args {
    /// A PNG that Duet drew: of `sample`, a preview, or a sheet of `eval`, `sweep` or `export`
    image: PathBuf,
    /// The model, where it is not where it was [default: what the picture names]
    #[arg(long, value_name = "DIR|latest")]
    run: Option<String>,
    /// Where the picture goes [default: nowhere, it is compared]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Refuses a picture that takes more evaluations of a network: a stranger's may ask for any number
    #[arg(long, value_name = "EVALUATIONS", default_value_t = 100_000)]
    most: u64,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let device = args.compute.start()?;
    let again = duet_diffusion::reproduce(&args.image, args.run.as_deref(), args.most, &device)?;
    if let Some(out) = &args.out {
        create_parent(out)?;
        write_atomically(out, &again.bytes)?;
        out!("{}: drawn again by {}", out.display(), again.run);
    }
    again.check()?;
    out!("{}: drawn again, byte for byte", args.image.display());
    Ok(())
}
