//! A run's folder: configuration, lock, log and metrics.

use crate::exit::usage;
use anyhow::{Context, Result};
use duet_train::{TrainError, checkpoint};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Where runs are put if nothing else is said.
pub const RUNS: &str = "runs";

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
}

/// An open run. While it lives, no other process can write to the folder.
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    log: File,
    _lock: File,
}

impl RunFolder {
    /// Makes a new run's folder, which must not exist or be empty.
    pub fn create(path: &Path, config: &str) -> Result<Self> {
        let occupied = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if occupied || path.is_file() {
            let name = path.display();
            return Err(usage(format!(
                "--out {name}: there is something already; resume it with --resume {name}, or choose another folder"
            )));
        }
        std::fs::create_dir_all(path).map_err(write_error(path))?;
        let lock = lock(path)?;
        write_new(&path.join("config.toml"), config)?;
        Self::with_files(path, lock)
    }

    /// Opens a run's folder to go on after `step`: later lines of its metrics are taken away.
    pub fn reopen(path: &Path, step: u64) -> Result<Self> {
        let run = Self::with_files(path, lock(path)?)?;
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
        let temporary = path.join(".metrics.jsonl");
        let _ = std::fs::remove_file(&temporary);
        write_new(&temporary, &kept)?;
        std::fs::rename(&temporary, &file).map_err(write_error(&file))?;
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

fn write_new(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    Ok(write().map_err(write_error(path))?)
}

/// Takes the folder's lock, which the system gives back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File> {
    let path = path.join("LOCK");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
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
        eprintln!("warning: {error}");
    }
    found
}
