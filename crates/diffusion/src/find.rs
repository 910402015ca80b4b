//! What a name of a run stands for: `latest`, a run's folder, a checkpoint, or any model folder.

use crate::error::{Error, Result, Within};
use crate::metrics::{self, METRICS};
use crate::rise::Rise;
use crate::run_folder::{CHECKPOINTS, is_run};
use duet_train::{TrainError, checkpoint};
use std::path::{Path, PathBuf};

/// Where runs are put if nothing else is said.
pub const RUNS: &str = "runs";

/// What stands for the newest run.
pub const LATEST: &str = "latest";

/// What stands for the newest checkpoint of a run from before it copied its training images: RUN/best.
pub const BEST: &str = "best";

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
    found_by(&checkpoint::latest, run)
}

/// The newest checkpoint of a run whose network is whole, with or without its training state.
fn latest_model(run: &Path) -> Result<Option<PathBuf>> {
    found_by(&checkpoint::latest_model, run)
}

/// The newest checkpoint, and why newer ones are passed over.
type Search<'a> = &'a dyn Fn(&Path) -> Result<(Option<PathBuf>, Vec<TrainError>), TrainError>;

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

/// The run of `RUN/best`, of `latest/best`, or of `best` alone, which is that of the newest run; none of another name.
fn run_of_best(name: &Path) -> Result<Option<PathBuf>> {
    if name.file_name().is_none_or(|name| name != BEST) || name.exists() {
        return Ok(None);
    }
    let run = name.parent().unwrap_or(Path::new(""));
    if is_run(run) {
        return Ok(Some(if run.as_os_str().is_empty() { ".".into() } else { run.into() }));
    }
    match run.as_os_str().is_empty() || run == Path::new(LATEST) {
        true => Ok(Some(newest_by(latest_model)?.0)),
        false => Ok(None),
    }
}

/// The folder that a name stands for: of `RUN/best` the newest whole checkpoint of the run from before it copied its
/// training images, and any other name itself.
///
/// # Errors
/// Where the run has not measured that, or keeps no checkpoint from before.
pub(crate) fn named(name: &Path) -> Result<PathBuf> {
    let Some(run) = run_of_best(name)? else { return Ok(name.into()) };
    let measured = metrics::p_values(&metrics::read(&run.join(METRICS))?);
    let refuse = |reason: String| TrainError::Checkpoint { path: name.into(), reason };
    if measured.is_empty() {
        let reason = "the run has not measured whether it copies training images, as `train --eval-every` does; name \
                      the run itself for its newest checkpoint";
        return Err(refuse(reason.into())).in_option("run");
    }
    let rise = Rise::of(measured);
    let last = match rise.at {
        None => u64::MAX,
        Some(_) => rise.before.unwrap_or(0),
    };
    let until: Search = &|parent| checkpoint::latest_model_until(parent, last);
    let none = || {
        let at = rise.at.unwrap_or(0);
        refuse(format!(
            "copies rose at step {at}, and no checkpoint from before is there; save and measure more often (--save-every, \
             --eval-every)"
        ))
    };
    found_by(until, &run)?.ok_or_else(none).in_option("run")
}

/// The model folder that a name stands for: the newest checkpoint of `latest` or of a run, that of `RUN/best`, or
/// the folder itself.
///
/// # Errors
/// Where there is no such folder, or no model in it.
pub fn model_folder(name: impl AsRef<Path>) -> Result<PathBuf> {
    let path = &named(name.as_ref())?;
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

/// The run that a name stands for: the newest, that of `RUN/best`, the folder itself, or the one whose checkpoint it
/// is; none
/// of another folder.
///
/// # Errors
/// [`Error::NoRun`] where `latest` stands for none.
pub fn run_of(name: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    let path = name.as_ref();
    if path == Path::new(LATEST) {
        return Ok(Some(latest()?.0));
    }
    if let Some(run) = run_of_best(path)? {
        return Ok(Some(run));
    }
    let above = path.parent().and_then(Path::parent);
    let runs = [Some(path), above].into_iter().flatten();
    Ok(runs.map(Path::to_path_buf).find(|run| is_run(run)))
}
