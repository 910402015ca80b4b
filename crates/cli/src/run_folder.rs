//! A run's folder: configuration, lock, log and metrics.

use crate::exit::usage;
use crate::sample::write_atomically;
use crate::score::Score;
use crate::terminal::{command, err};
use anyhow::{Context, Result};
use duet_train::{Disk, RealDisk, TrainError, checkpoint, create_folders};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Where runs are put if nothing else is said.
pub const RUNS: &str = "runs";
/// Where a run keeps its snapshots of averages.
pub const SNAPSHOTS: &str = "ema";

/// One line of `metrics.jsonl`: every step has exactly one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Counted from 1.
    pub step: u64,
    /// Weighted, of the step's images.
    pub loss: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Of this step.
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
    lock: File,
    /// The folder itself, wherever it is moved; none where folders cannot be opened.
    home: Option<File>,
    /// Pictures since the last save.
    pictures: Vec<PathBuf>,
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
        create_folders(&RealDisk, path).map_err(write_error(path))?;
        let lock = lock(path)?;
        // Another start may have been faster.
        refuse_occupied()?;
        write_whole(&path.join("config.toml"), config)?;
        Self::with_files(path, lock)
    }

    /// Opens a run's folder to go on after `step`: later lines of its metrics are taken away.
    /// `lock` is the folder's.
    pub fn reopen(path: &Path, step: u64, history: &History, lock: File) -> Result<Self> {
        // Links are refused before anything is changed.
        let run = Self::with_files(path, lock)?;
        write_whole(&path.join(METRICS), history.until(step))?;
        for folder in [path.to_path_buf(), path.join("samples"), path.join(SNAPSHOTS)] {
            remove_half_files(&folder)?;
        }
        Self::with_files(path, run.lock)
    }

    fn with_files(path: &Path, lock: File) -> Result<Self> {
        let append = |name: &str| {
            let path = path.join(name);
            duet_files::append(&path).map_err(write_error(&path))
        };
        let (metrics, log) = (append(METRICS)?, append("log.txt")?);
        sync_names(path)?;
        let home = if cfg!(unix) { Some(File::open(path).map_err(write_error(path))?) } else { None };
        Ok(Self { path: path.into(), metrics, log, lock, home, pictures: Vec::new() })
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

    /// Notes a picture that belongs to the run, so that the next save waits until it is on disk.
    pub fn add_picture(&mut self, path: &Path) {
        self.pictures.push(path.into());
    }

    /// Refuses to write where this process may no more be the only one, or where nobody will look.
    pub fn check_ours(&self) -> Result<()> {
        let refuse = |path: &Path, reason: &str| -> Result<()> {
            Err(write_error(path)(std::io::Error::other(reason)).into())
        };
        if self.home.as_ref().is_some_and(|home| !is_at(home, &self.path)) {
            return refuse(
                &self.path,
                "the folder was moved or removed while the run was trained, so nothing more is saved; \
                 what was saved before is in it, wherever it is now",
            );
        }
        if !is_at(&self.lock, &self.path.join(LOCK)) {
            return refuse(
                &self.path.join(LOCK),
                "it was removed or replaced while the run was trained, so another process may train \
                 the run, and nothing more is saved; what was saved before is whole",
            );
        }
        Ok(())
    }

    /// Adds a step's line to the metrics.
    pub fn record(&mut self, metrics: &Metrics) -> Result<()> {
        let line = serde_json::to_string(metrics)? + "\n";
        self.metrics.write_all(line.as_bytes()).map_err(write_error(self.path.join(METRICS)))?;
        Ok(())
    }

    /// Makes sure that the metrics are on disk, before a checkpoint that counts on them.
    pub fn sync(&mut self) -> Result<()> {
        self.check_ours()?;
        self.metrics.sync_all().map_err(write_error(self.path.join(METRICS)))?;
        for picture in std::mem::take(&mut self.pictures) {
            let synced = File::open(&picture).and_then(|file| file.sync_all());
            synced.map_err(write_error(&picture))?;
            sync_names(picture.parent().unwrap_or(&self.path))?;
        }
        sync_names(&self.path)
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

/// Removes the temporary files that a process leaves which is killed while it writes.
fn remove_half_files(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_half(&entry.file_name().to_string_lossy()) && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            std::fs::remove_file(entry.path()).map_err(write_error(entry.path()))?;
        }
    }
    Ok(())
}

/// Whether a name is one that this program gives to a file that is not whole: `.tmp` and six letters
/// or digits, or `.NAME.PROCESS-COUNT.tmp` for a picture or a classifier.
fn is_half(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY);
    if random.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return true;
    }
    let known = [".step-", ".judge", ".metrics.", ".config."].iter().any(|start| name.starts_with(start));
    let numbers =
        name.strip_suffix(".tmp").and_then(|name| name.rsplit_once('.')).map(|(_, numbers)| numbers);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    known && numbers.and_then(|n| n.split_once('-')).is_some_and(|(a, b)| is_number(a) && is_number(b))
}

/// Whether a path still leads to this open file or folder.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |data: &std::fs::Metadata| (data.dev(), data.ino());
        matches!((file.metadata(), std::fs::metadata(path)), (Ok(a), Ok(b)) if id(&a) == id(&b))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// Makes sure that the names in a folder, and its own, are on disk.
fn sync_names(folder: &Path) -> Result<()> {
    let disk = RealDisk;
    disk.sync_dir(folder).map_err(write_error(folder))?;
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    match disk.sync_dir(above) {
        // The folder above may be somebody else's.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        synced => Ok(synced.map_err(write_error(above))?),
    }
}

/// Whether a folder holds more than a run's start leaves before its configuration is there.
fn occupied(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    path.is_file()
        || entries
            .map(|entry| entry.file_name())
            .any(|name| name != LOCK && !is_half(&name.to_string_lossy()))
}

const LOCK: &str = "LOCK";
const METRICS: &str = "metrics.jsonl";
/// Before the random part of a temporary name.
const TEMPORARY: &str = ".tmp";
/// Longer metrics are those of no run.
const MAX_METRICS: u64 = 1 << 32;

/// Writes a file of a run's folder that is there whole or not at all. A link is replaced, not followed.
pub fn write_whole(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_atomically(path, bytes.as_ref())?;
    sync_names(path.parent().unwrap_or(Path::new("")))
}

/// Takes the folder's lock, which the system gives back when the process ends, however it ends.
pub fn lock(path: &Path) -> Result<File> {
    let path = path.join(LOCK);
    let mut file = duet_files::append(&path).map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // The holder signs right after it has taken the lock.
            std::thread::sleep(std::time::Duration::from_millis(100));
            let mut holder = String::new();
            let _ = file.rewind();
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

/// The metrics of a run's folder as far as each step follows from the one before.
pub struct History {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the line of each step ends.
    ends: Vec<usize>,
    /// Lines of later steps behind one that is wrong or missing.
    later: Vec<(u64, Vec<u8>)>,
    /// The line that ends it, counted from 1, and why; none where it is the end, or a line that a
    /// crash cut short.
    pub fault: Option<(usize, String)>,
}

impl History {
    /// Reads a run's metrics; none where there is no such file. A line that comes twice counts once.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(METRICS);
        let (bytes, mut ends, mut fault, mut kept) = (read_bytes(&path)?, Vec::new(), None, Vec::new());
        let mut later: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut before: &[u8] = b"";
        for (i, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let whole = line.ends_with(b"\n");
            let step = serde_json::from_slice::<Metrics>(line).map(|metrics| metrics.step);
            match step {
                Ok(step) if fault.is_some() => {
                    if whole && later.last().map_or(ends.len() as u64, |(last, _)| *last) < step {
                        later.push((step, line.to_vec()));
                    }
                }
                Err(_) if fault.is_some() => {}
                Ok(step) if whole && step == ends.len() as u64 + 1 => {
                    kept.extend_from_slice(line);
                    ends.push(kept.len());
                    before = line;
                }
                Ok(_) if line == before => {}
                // A crash cuts the last line short.
                _ if !whole => {}
                Ok(step) => {
                    fault = Some((i + 1, format!("step {step} comes after step {}", ends.len())));
                    if step > ends.len() as u64 {
                        later.push((step, line.to_vec()));
                    }
                }
                Err(error) => {
                    fault = Some((i + 1, format!("no line of metrics ({error})")));
                }
            }
        }
        Ok(Self { path, bytes: kept, ends, later, fault })
    }

    /// The last step that it has; 0 for none.
    pub fn last(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Whether the file is empty or absent.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.fault.is_none()
    }

    /// Why it has no more steps, for an error.
    pub fn reason(&self) -> String {
        let (path, last) = (self.path.display(), self.last());
        match &self.fault {
            Some((line, reason)) => format!("{path}: line {line}: {reason}"),
            None => format!("{path}: it ends after step {last}"),
        }
    }

    /// The lines up to a step, with those behind a gap.
    fn until(&self, step: u64) -> Vec<u8> {
        let steps = usize::try_from(step).unwrap_or(usize::MAX).min(self.ends.len());
        let mut lines = self.bytes[..steps.checked_sub(1).map_or(0, |last| self.ends[last])].to_vec();
        for (_, line) in self.later.iter().filter(|(later, _)| *later <= step) {
            lines.extend_from_slice(line);
        }
        lines
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    match duet_files::read(path, MAX_METRICS) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(bytes.map_err(|cause| TrainError::Read { path: path.into(), cause })?),
    }
}

/// The lines of a run's metrics, none where there is no such file; what is no such line is warned
/// about, but for a last one that is cut short.
pub fn read_metrics(path: &Path) -> Result<Vec<Metrics>> {
    let mut found = Vec::new();
    for (i, line) in read_bytes(path)?.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(metrics) => found.push(metrics),
            Err(error) if line.ends_with(b"\n") => {
                err!("warning: {}: line {}: no line of metrics ({error})", path.display(), i + 1);
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

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
pub fn latest() -> Result<(PathBuf, PathBuf)> {
    for (_, run) in numbered()?.into_iter().rev() {
        if let Some(found) = latest_checkpoint(&run)? {
            return Ok((run, found));
        }
    }
    let train = command(["train"]);
    let reason = format!("no run with a checkpoint under {RUNS}/; train one with `{train}`");
    Err(TrainError::Checkpoint { path: RUNS.into(), reason }).context("latest")
}

/// The newest whole checkpoint of a run; damaged ones are warned about.
pub fn latest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
    let (found, passed) = checkpoint::latest(&run.join("checkpoints"))?;
    for error in passed {
        err!("warning: {error}");
    }
    Ok(found)
}

/// The newest checkpoint of a run whose network is whole, with or without its training state.
pub fn latest_model_of(run: &Path) -> Result<Option<PathBuf>> {
    let (found, passed) = checkpoint::latest_model(&run.join("checkpoints"))?;
    for error in passed {
        err!("warning: {error}");
    }
    Ok(found)
}

/// The same of the newest run that has one.
pub fn latest_model() -> Result<PathBuf> {
    for (_, run) in numbered()?.into_iter().rev() {
        if let Some(found) = latest_model_of(&run)? {
            return Ok(found);
        }
    }
    let train = command(["train"]);
    let reason = format!("no run with a checkpoint under {RUNS}/; train one with `{train}`");
    Err(TrainError::Checkpoint { path: RUNS.into(), reason }).context("latest")
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
