//! `cargo xtask verify`: every byte of a run's checkpoints and snapshots against what is noted of
//! them, its configuration, and its metrics.

use crate::config::RunConfig;
use crate::exit::usage;
use crate::run_folder::History;
use crate::terminal::out;
use crate::{resume, snapshots};
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

/// Runs the verb: everything is looked at, and the first damage decides the exit code.
pub fn run(args: Args) -> Result<()> {
    let folder = args.folder;
    if !folder.is_dir() {
        return Err(usage(format!("{}: there is no such folder", folder.display())));
    }
    // Be it a pipe or a link to nothing: that is said of it.
    let is_run = std::fs::symlink_metadata(folder.join("config.toml")).is_ok();
    let mut first = None;
    let mut tell = |name: &Path, found: Result<String>| match found {
        Ok(what) => out!("whole    {}: {what}", name.display()),
        Err(error) => {
            out!("DAMAGED  {error:#}");
            first = first.take().or(Some(error));
        }
    };
    let (seen, checkpoints) = checkpoints(&folder, &mut tell)?;
    if seen == 0 && !is_run {
        tell(&folder, check(&folder));
    }
    if is_run {
        let newest = checkpoints.last();
        tell(&folder.join("config.toml"), configuration(&folder, newest.map(|(_, path)| path)));
        tell(&folder.join("metrics.jsonl"), metrics(&folder, newest.map_or(0, |(step, _)| *step)));
        for (name, found) in snapshots::check(&folder, u64::MAX)? {
            tell(&name, found);
        }
    }
    first.map_or(Ok(()), Err)
}

/// Looks at every checkpoint of a run. One that is pruned meanwhile is none, and then there is a new
/// one to look at. How many there are, and the whole ones.
fn checkpoints(
    run: &Path,
    tell: &mut impl FnMut(&Path, Result<String>),
) -> Result<(usize, Vec<(u64, PathBuf)>)> {
    let parent = run.join("checkpoints");
    let (mut seen, mut whole) = (Vec::new(), Vec::new());
    loop {
        let mut lost = false;
        for (step, folder) in checkpoint::list(&parent)? {
            if seen.contains(&folder) {
                continue;
            }
            let found =
                checkpoint::verify_step(&folder, step).map_err(Into::into).and_then(|_| check(&folder));
            if found.is_err() && !folder.exists() {
                lost = true;
                continue;
            }
            if found.is_ok() {
                whole.push((step, folder.clone()));
            }
            tell(&folder, found);
            seen.push(folder);
        }
        if !lost {
            whole.retain(|(_, folder): &(u64, PathBuf)| folder.exists());
            return Ok((seen.len(), whole));
        }
    }
}

/// A run's configuration against the one that its newest checkpoint was saved with.
fn configuration(run: &Path, newest: Option<&PathBuf>) -> Result<String> {
    let path = run.join("config.toml");
    let (_, text) = RunConfig::load(&path)?;
    let Some(newest) = newest else { return Ok("no checkpoint to compare it with".into()) };
    match resume::check_configuration(&path, &text, newest) {
        Ok(()) if Manifest::read(newest)?.config_hash == checkpoint::config_hash(&text) => {
            Ok(format!("as {} was saved with it", newest.display()))
        }
        Ok(()) => Ok("edited since the last save, in what may be edited".into()),
        Err(error) => Err(damaged(&path, format!("{error:#}"))),
    }
}

/// That every step up to the newest checkpoint has its line.
fn metrics(run: &Path, reached: u64) -> Result<String> {
    let history = History::read(run)?;
    match history.fault.is_some() || history.last() < reached {
        true => Err(damaged(run, history.reason())),
        false => Ok(format!("every step up to {}", history.last())),
    }
}

fn damaged(path: &Path, reason: String) -> anyhow::Error {
    TrainError::Checkpoint { path: path.into(), reason }.into()
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
