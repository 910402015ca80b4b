//! A run's folder: configuration, lock, log and metrics.

use crate::exit::usage;
use crate::score::Score;
use crate::terminal::err;
use anyhow::{Context, Result};
use duet_train::{Manifest, TrainError, checkpoint};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Where runs are put if nothing else is said.
pub const RUNS: &str = "runs";
/// Where a run keeps its snapshots of averages.
pub const SNAPSHOTS: &str = "ema";

/// One line of `metrics.jsonl`: every step has exactly one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub step: u64,
    pub loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    /// Unweighted, of the averaged weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_loss: Option<f64>,
    /// Of images drawn with the averaged weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
}

/// An open run. While it lives, no other process can write to the folder.
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    log: File,
    _lock: File,
}

impl RunFolder {
    /// Makes a new run's folder, which must not exist or be empty, but for what a start that was
    /// killed at once left there.
    pub fn create(path: &Path, config: &str) -> Result<Self> {
        let refuse_occupied = || match occupied(path) {
            true => {
                let name = path.display();
                Err(usage(format!(
                    "--out {name}: there is something already; resume it with --resume {name}, or choose another folder"
                )))
            }
            false => Ok(()),
        };
        refuse_occupied()?;
        std::fs::create_dir_all(path).map_err(write_error(path))?;
        let lock = lock(path)?;
        // Another start may have been faster.
        refuse_occupied()?;
        write_whole(&path.join("config.toml"), config)?;
        Self::with_files(path, lock)
    }

    /// Opens a run's folder to go on after `step`: later lines of its metrics are taken away.
    /// `lock` is the folder's.
    pub fn reopen(path: &Path, step: u64, lock: File) -> Result<Self> {
        let run = Self::with_files(path, lock)?;
        let file = path.join("metrics.jsonl");
        let mut kept = String::new();
        for line in BufReader::new(File::open(&file).map_err(write_error(&file))?).lines() {
            let line = line.map_err(write_error(&file))?;
            // A line that a crash cut short belongs to a step that is taken again.
            let Ok(metrics) = serde_json::from_str::<Metrics>(&line) else { continue };
            if metrics.step <= step {
                kept += &(line + "\n");
            }
        }
        write_whole(&file, &kept)?;
        remove_half_files(path, ".judge.")?;
        remove_half_files(&path.join("samples"), ".step-")?;
        remove_half_files(&path.join(SNAPSHOTS), ".tmp")?;
        drop(run.metrics);
        Self::with_files(path, run._lock)
    }

    fn with_files(path: &Path, lock: File) -> Result<Self> {
        let append = |name: &str| {
            let path = path.join(name);
            OpenOptions::new().create(true).append(true).open(&path).map_err(write_error(&path))
        };
        Ok(Self {
            path: path.into(),
            metrics: append("metrics.jsonl")?,
            log: append("log.txt")?,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the preview of a step goes.
    pub fn preview(&self, step: u64) -> PathBuf {
        self.path.join("samples").join(format!("step-{step:06}.png"))
    }

    /// Adds a step's line to the metrics.
    pub fn record(&mut self, metrics: &Metrics) -> Result<()> {
        let line = serde_json::to_string(metrics)? + "\n";
        self.metrics.write_all(line.as_bytes()).map_err(write_error(self.path.join("metrics.jsonl")))?;
        Ok(())
    }

    /// Makes sure that the metrics are on disk, before a checkpoint that counts on them.
    pub fn sync(&self) -> Result<()> {
        self.metrics.sync_all().map_err(write_error(self.path.join("metrics.jsonl")))?;
        Ok(())
    }

    /// Adds a line to the log.
    pub fn log(&mut self, line: &str) -> Result<()> {
        writeln!(self.log, "{line}").map_err(write_error(self.path.join("log.txt")))?;
        Ok(())
    }
}

fn write_error(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> TrainError {
    move |cause| TrainError::Write { path: path.as_ref().into(), cause }
}

/// Removes the hidden files, named so, that a process leaves which is killed while it writes.
fn remove_half_files(folder: &Path, prefix: &str) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            std::fs::remove_file(entry.path()).map_err(write_error(entry.path()))?;
        }
    }
    Ok(())
}

/// Whether a folder holds more than a run's start leaves before its configuration is there.
fn occupied(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    path.is_file() || entries.map(|entry| entry.file_name()).any(|name| name != LOCK && name != TEMPORARY)
}

const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".writing";

/// Writes a file of a run's folder that is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let temporary = folder.join(TEMPORARY);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // Folders cannot be opened for this on Windows.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    };
    Ok(write().map_err(write_error(path))?)
}

/// Takes the folder's lock, which the system gives back when the process ends, however it ends.
pub fn lock(path: &Path) -> Result<File> {
    let path = path.join(LOCK);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // The holder signs right after it has taken the lock.
            std::thread::sleep(std::time::Duration::from_millis(100));
            let mut holder = String::new();
            let _ = file.take(100).read_to_string(&mut holder);
            return Err(usage(format!(
                "{}: another process trains this run ({})",
                path.display(),
                holder.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(write_error(&path)(error).into()),
    }
    let mut sign = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}", std::process::id())
    };
    sign().map_err(write_error(&path))?;
    Ok(file)
}

/// The lines of a run's metrics, none where there is no such file; one that is cut short is passed
/// over.
pub fn read_metrics(path: &Path) -> Result<Vec<Metrics>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.with_context(|| path.display().to_string())?,
    };
    Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The next numbered folder under `runs/`.
pub fn next(name: &str) -> PathBuf {
    let last = numbered().last().map_or(0, |(number, _)| *number);
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Path::new(RUNS).join(format!("{:05}-{name}", last + 1))
}

/// Folders under `runs/` that begin with a number, in rising order.
fn numbered() -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(RUNS).into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| {
        Some((entry.file_name().to_str()?.split('-').next()?.parse().ok()?, entry.path()))
    };
    let mut found: Vec<(u64, PathBuf)> = entries.filter_map(number).collect();
    found.sort();
    found
}

/// The newest run that has a whole checkpoint, and that checkpoint.
pub fn latest() -> Result<(PathBuf, PathBuf)> {
    for (_, run) in numbered().into_iter().rev() {
        if let Some(found) = latest_checkpoint(&run) {
            return Ok((run, found));
        }
    }
    let reason = format!("no run with a checkpoint under {RUNS}/; train one with `cargo xtask train`");
    Err(TrainError::Checkpoint { path: RUNS.into(), reason }).context("latest")
}

/// The newest whole checkpoint of a run; damaged ones are warned about.
pub fn latest_checkpoint(run: &Path) -> Option<PathBuf> {
    let (found, damaged) = checkpoint::latest(&run.join("checkpoints"));
    for error in damaged {
        err!("warning: {error}");
    }
    found
}

/// The newest checkpoint of a run whose network is whole, with or without its training state.
pub fn latest_model_of(run: &Path) -> Option<PathBuf> {
    let mut found = checkpoint::list(&run.join("checkpoints")).into_iter().rev().map(|(_, folder)| folder);
    found.find(|folder| match Manifest::verify_model(folder) {
        Ok(_) => true,
        Err(error) => {
            err!("warning: {error}");
            false
        }
    })
}

/// The same of the newest run that has one.
pub fn latest_model() -> Result<PathBuf> {
    let found = numbered().into_iter().rev().find_map(|(_, run)| latest_model_of(&run));
    let reason = format!("no run with a checkpoint under {RUNS}/; train one with `cargo xtask train`");
    found.ok_or(TrainError::Checkpoint { path: RUNS.into(), reason }).context("latest")
}

/// The run of what `--run` names: itself, or the one whose checkpoint it is; none of another folder.
pub fn of(run: &str) -> Result<Option<PathBuf>> {
    if run == "latest" {
        return Ok(Some(latest()?.0));
    }
    let path = Path::new(run);
    let above = path.parent().and_then(Path::parent);
    let runs = [Some(path), above].into_iter().flatten();
    Ok(runs.map(Path::to_path_buf).find(|run| run.join("config.toml").is_file()))
}
