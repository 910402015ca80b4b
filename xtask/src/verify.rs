//! `cargo xtask verify`: every byte of a run's checkpoints against their manifests.

use crate::exit::usage;
use crate::terminal::out;
use anyhow::Result;
use candle_core::Device;
use duet_train::{MANIFEST_FILE, Manifest, TrainError, checkpoint};
use std::path::{Path, PathBuf};

/// Flags of `verify`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the verb: every checkpoint is looked at, and the first damage decides the exit code.
pub fn run(args: Args) -> Result<()> {
    let folder = args.folder;
    if !folder.is_dir() {
        return Err(usage(format!("{}: there is no such folder", folder.display())));
    }
    let checkpoints: Vec<PathBuf> =
        checkpoint::list(&folder.join("checkpoints")).into_iter().map(|(_, path)| path).collect();
    let folders = if checkpoints.is_empty() { vec![folder.clone()] } else { checkpoints };
    let mut first = None;
    for folder in folders {
        match check(&folder) {
            Ok(what) => out!("whole    {}: {what}", folder.display()),
            Err(error) => {
                out!("DAMAGED  {error:#}");
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What is whole about a folder: its files by their hashes, and its network as one that loads.
fn check(folder: &Path) -> Result<String> {
    if !folder.join(MANIFEST_FILE).exists() {
        if !folder.join("unet").is_dir() && !folder.join(duet_model::CONFIG_FILE).is_file() {
            let reason = "neither a run with checkpoints nor a model folder".into();
            return Err(TrainError::Checkpoint { path: folder.into(), reason }.into());
        }
        let model = duet_model::load_folder(folder, &Device::Cpu)?;
        return Ok(format!("no manifest, but its {} parameters load", model.parameters.count()));
    }
    let manifest = Manifest::verify(folder)?;
    let model = duet_model::load_folder(folder, &Device::Cpu)?;
    let bytes: u64 = manifest.files.values().map(|entry| entry.size).sum();
    Ok(format!(
        "step {}, {} files, {bytes} bytes, {} parameters",
        manifest.step,
        manifest.files.len(),
        model.parameters.count()
    ))
}
