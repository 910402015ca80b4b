//! What a name of a run stands for: `latest`, a run's folder, a checkpoint, or any model folder.

use crate::error::{Error, Result, Within};
use crate::run_folder::{CHECKPOINTS, is_run};
use duet_train::{TrainError, checkpoint};
use std::path::{Path, PathBuf};

/// Where runs are put if nothing else is said.
pub const RUNS: &str = "runs";

/// What stands for the newest run.
pub const LATEST: &str = "latest";

/// The next numbered folder under `runs/`.
pub fn next(name: &str) -> PathBuf {
    let last = numbered().ok().and_then(|found| found.last().map(|(number, _)| *number)).unwrap_or(0);
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Path::new(RUNS).join(format!("{:05}-{name}", last + 1))
}

/// Folders under `runs/` that begin with a number, in rising order; none where there is no `runs/`.
fn numbered() -> Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(RUNS) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|cause| TrainError::Read { path: RUNS.into(), cause })?,
    };
    let number = |entry: std::fs::DirEntry| {
        Some((entry.file_name().to_str()?.split('-').next()?.parse().ok()?, entry.path()))
    };
    let mut found: Vec<(u64, PathBuf)> = entries.flatten().filter_map(number).collect();
    found.sort();
    Ok(found)
}

/// The newest run that has a whole checkpoint, and that checkpoint.
///
/// # Errors
/// [`Error::NoRun`] where no run has one.
pub fn latest() -> Result<(PathBuf, PathBuf)> {
    newest_by(latest_checkpoint)
}

/// The newest whole checkpoint of a run; damaged ones are warned about.
///
/// # Errors
/// Where its checkpoints cannot be listed or read.
pub fn latest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
    found_by(checkpoint::latest, run)
}

/// The newest checkpoint of a run whose network is whole, with or without its training state.
fn latest_model(run: &Path) -> Result<Option<PathBuf>> {
    found_by(checkpoint::latest_model, run)
}

/// The newest checkpoint, and why newer ones are passed over.
type Search = fn(&Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError>;

fn found_by(search: Search, run: &Path) -> Result<Option<PathBuf>> {
    let (found, passed) = search(&run.join(CHECKPOINTS))?;
    for error in passed {
        log::warn!("{error}");
    }
    Ok(found)
}

fn newest_by(search: fn(&Path) -> Result<Option<PathBuf>>) -> Result<(PathBuf, PathBuf)> {
    for (_, run) in numbered()?.into_iter().rev() {
        if let Some(found) = search(&run)? {
            return Ok((run, found));
        }
    }
    Err(Error::NoRun { folder: RUNS.into() }).within(LATEST)
}

/// The model folder that a name stands for: the newest checkpoint of `latest` or of a run, or the folder
/// itself.
///
/// # Errors
/// Where there is no such folder, or no model in it.
pub fn model_folder(name: impl AsRef<Path>) -> Result<PathBuf> {
    let path = name.as_ref();
    if path == Path::new(LATEST) {
        return Ok(newest_by(latest_model)?.1);
    }
    let refuse = |reason: &str| TrainError::Checkpoint { path: path.into(), reason: reason.into() };
    if !path.is_dir() {
        let reason = "there is no such folder; name a run, a checkpoint or a model folder of diffusers";
        return Err(refuse(reason)).in_option("run");
    }
    if path.join("unet").is_dir() || path.join(duet_model::CONFIG_FILE).is_file() {
        return Ok(path.into());
    }
    let reason = "neither a run with a checkpoint nor a model folder (with unet/ and scheduler/)";
    latest_model(path)?.ok_or_else(|| refuse(reason)).in_option("run")
}

/// The run that a name stands for: the newest, the folder itself, or the one whose checkpoint it is; none
/// of another folder.
///
/// # Errors
/// [`Error::NoRun`] where `latest` stands for none.
pub fn run_of(name: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    let path = name.as_ref();
    if path == Path::new(LATEST) {
        return Ok(Some(latest()?.0));
    }
    let above = path.parent().and_then(Path::parent);
    let runs = [Some(path), above].into_iter().flatten();
    Ok(runs.map(Path::to_path_buf).find(|run| is_run(run)))
}
