//! Every byte of a run's checkpoints, snapshots and lessons against what is noted of them, its configuration, and
//! its metrics.

use crate::config::RunConfig;
use crate::error::{Error, Result, setting};
use crate::metrics::{METRICS, StepHistory};
use crate::run_folder::{CHECKPOINTS, CONFIG, LESSONS, SNAPSHOTS, is_run};
use crate::{resume, snapshots};
use candle_core::Device;
use duet_train::{MANIFEST_FILE, Manifest, TrainError, checkpoint};
use std::path::{Path, PathBuf};

/// Looks at a run, a checkpoint or any model folder. `tell` hears of each thing what is whole about it, or
/// what is damaged.
///
/// # Errors
/// Where there is no such folder, or its list of snapshots cannot be read.
pub fn verify(folder: &Path, mut tell: impl FnMut(&Path, Result<String>)) -> Result<()> {
    if !folder.is_dir() {
        return Err(setting(format!("{}: there is no such folder", folder.display())));
    }
    let is_run = is_run(folder);
    let (seen, checkpoints) = checkpoints(folder, &mut tell)?;
    if seen == 0 && !is_run {
        tell(folder, check(folder));
    }
    if is_run {
        let newest = checkpoints.last();
        tell(&folder.join(CONFIG), configuration(folder, newest.map(|(_, path)| path)));
        tell(&folder.join(METRICS), metrics(folder, newest.map_or(0, |(step, _)| *step)));
        for kept in [SNAPSHOTS, LESSONS] {
            for (name, found) in snapshots::check(&folder.join(kept), u64::MAX)? {
                tell(&name, found);
            }
        }
    }
    Ok(())
}

/// Looks at every checkpoint of a run. One that is pruned meanwhile is none, and then there is a new
/// one to look at. How many there are, and the whole ones.
fn checkpoints(
    run: &Path,
    tell: &mut impl FnMut(&Path, Result<String>),
) -> Result<(usize, Vec<(u64, PathBuf)>)> {
    let parent = run.join(CHECKPOINTS);
    let (mut seen, mut whole) = (Vec::new(), Vec::new());
    loop {
        let mut lost = false;
        for (step, folder) in checkpoint::list(&parent)? {
            if seen.contains(&folder) {
                continue;
            }
            let found = checkpoint::verify_step(&folder, step).map_err(Error::from);
            let found = found.and_then(|manifest| of_checkpoint(&folder, &manifest));
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
    let path = run.join(CONFIG);
    let (_, text) = RunConfig::load(&path)?;
    let Some(newest) = newest else { return Ok("no checkpoint to compare it with".into()) };
    match resume::check_configuration(&path, &text, newest) {
        Ok(()) if Manifest::read(newest)?.config_hash == checkpoint::config_hash(&text) => {
            Ok(format!("as {} was saved with it", newest.display()))
        }
        Ok(()) => Ok("edited since the last save, in what may be edited".into()),
        Err(error) => Err(damaged(&path, error.chain())),
    }
}

/// That every step up to the newest checkpoint has its line.
fn metrics(run: &Path, reached: u64) -> Result<String> {
    let history = StepHistory::read(run)?;
    match history.fault.is_some() || history.last() < reached {
        true => Err(damaged(run, history.reason())),
        false => Ok(format!("every step up to {}", history.last())),
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    TrainError::Checkpoint { path: path.into(), reason }.into()
}

/// What is whole about a folder: its files by their hashes, and its network as one that loads.
fn check(folder: &Path) -> Result<String> {
    if folder.join(MANIFEST_FILE).exists() {
        return of_checkpoint(folder, &Manifest::verify(folder)?);
    }
    if !folder.join("unet").is_dir() && !folder.join(duet_model::CONFIG_FILE).is_file() {
        return Err(damaged(folder, "neither a run with checkpoints nor a model folder".into()));
    }
    let model = duet_model::load_folder(folder, &Device::Cpu)?;
    Ok(format!("no manifest, but its {} parameters load", model.parameters.count()))
}

/// The same of a checkpoint whose files are those of its manifest.
fn of_checkpoint(folder: &Path, manifest: &Manifest) -> Result<String> {
    let model = duet_model::load_folder(folder, &Device::Cpu)?;
    let bytes: u64 = manifest.files.values().map(|entry| entry.size).sum();
    Ok(format!(
        "step {}, {} files, {bytes} bytes, {} parameters",
        manifest.step,
        manifest.files.len(),
        model.parameters.count()
    ))
}
