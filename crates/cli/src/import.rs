//! `import`: a model folder of a network from elsewhere.

use crate::terminal::{command, out};
use anyhow::Result;
use duet_diffusion::{Import, NullLabel};
use std::path::PathBuf;

/// Flags of `import`.
#[derive(clap::Args)]
pub struct Args {
    /// A folder of diffusers, or a .safetensors file with a config.json beside it
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Where the model folder goes; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The scheduler_config.json, where SRC has none
    #[arg(long, value_name = "FILE")]
    scheduler: Option<PathBuf>,
    /// Names of the classes, separated by commas [default: their numbers]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Row of the class embedding that stands for no class, or none [default: what SRC notes, none
    /// if --classes names every row, else the last row]
    #[arg(long, value_name = "ROW|none")]
    null_label: Option<String>,
}

/// What is said of a null label that nothing names.
const ASSUMED: &str = ": taken, since nothing says which row it is; --null-label ROW or none says so";

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let null_label = args.null_label.map(|text| text.parse::<NullLabel>()).transpose()?;
    let import = Import { source: args.source, scheduler: args.scheduler, classes: args.classes, null_label };
    let found = duet_diffusion::import(import, &args.out)?;
    out!("{}: {} parameters, {}", args.out.display(), found.parameters, found.scheduler);
    match (found.classes, found.null_label) {
        (None, _) => out!("no classes"),
        (Some(classes), Some(null)) => {
            let assumed = if found.null_is_assumed { ASSUMED } else { "" };
            out!("{} classes, null label {null}{assumed}", classes.len());
        }
        (Some(classes), None) => {
            out!("{} classes and no null label: drawn without guidance", classes.len());
        }
    }
    let out = args.out.display().to_string();
    out!("draw with: {}", command(["sample", "--run", &out]));
    Ok(())
}
