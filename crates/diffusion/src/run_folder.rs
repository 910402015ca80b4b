//! A run's folder: configuration, lock, log and metrics.

use crate::board::{Board, Sources};
use crate::error::{Error, Result};
use crate::events::{EVENTS, Event};
use crate::files::{create_parent, remove_files, write_atomically};
use crate::metrics::{METRICS, Metrics, StepHistory};
use crate::stop_file::{self, STOP};
use duet_train::{Disk, RealDisk, TrainError, create_folders, folder_above};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The configuration of a run, in its folder.
pub const CONFIG: &str = "config.toml";
/// Where a run keeps its checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Where a run keeps its previews.
pub const PREVIEWS: &str = "samples";
/// Where a run keeps its snapshots of averages.
pub const SNAPSHOTS: &str = "ema";
/// Where a student's run keeps the averaged weights from whose drawings it learnt. A resumed run draws them again.
pub const LESSONS: &str = "lessons";
/// What happened, for people.
const LOG: &str = "log.txt";

/// An open run. While it lives, no other process can write to the folder.
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    events: File,
    board: Board,
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
            true => Err(Error::Exists { path: path.into(), is_run: is_run(path) }),
            false => Ok(()),
        };
        refuse_occupied()?;
        create_folders(&RealDisk, path).map_err(write_error(path))?;
        let lock = lock(path)?;
        // Another start may have been faster.
        refuse_occupied()?;
        stop_file::remove_old(path)?;
        write_whole(&path.join(CONFIG), config)?;
        let last = Board::put_right(path, &Sources { config, metrics: b"", previews: &BTreeMap::new() })?;
        Self::with_files(path, lock, last)
    }

    /// Opens a run's folder to go on after `step`: later lines of its metrics are taken away. `lock` is the folder's,
    /// and `config` the text of its configuration.
    pub fn reopen(path: &Path, config: &str, step: u64, history: &StepHistory, lock: File) -> Result<Self> {
        // Links are refused before anything is changed.
        let run = Self::with_files(path, lock, 0.0)?;
        let metrics = history.until(step);
        write_whole(&path.join(METRICS), &metrics)?;
        let sources = Sources { config, metrics: &metrics, previews: &previews(path) };
        let last = Board::put_right(path, &sources)?;
        for folder in [path.to_path_buf(), path.join(PREVIEWS), path.join(SNAPSHOTS), path.join(LESSONS)] {
            remove_files(&folder, is_half)?;
        }
        Self::with_files(path, run.lock, last)
    }

    /// Opens all files to write at their ends; `last` is the time of the last event.
    fn with_files(path: &Path, lock: File, last: f64) -> Result<Self> {
        let append = |name: &str| {
            let path = path.join(name);
            duet_files::append(&path).map_err(write_error(&path))
        };
        let (metrics, events, log) = (append(METRICS)?, append(EVENTS)?, append(LOG)?);
        let board = Board::open(path, last)?;
        sync_names(path)?;
        let home = if cfg!(unix) { Some(File::open(path).map_err(write_error(path))?) } else { None };
        Ok(Self { path: path.into(), metrics, events, board, log, lock, home, pictures: Vec::new() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Where the preview of a step goes.
    pub fn preview(&self, step: u64) -> PathBuf {
        preview_path(&self.path, step)
    }

    /// Adds the preview of the last step. The next save waits until it is on disk.
    pub fn add_preview(&mut self, step: u64, png: Vec<u8>) -> Result<PathBuf> {
        let path = self.preview(step);
        create_parent(&path)?;
        write_atomically(&path, &png)?;
        self.pictures.push(path.clone());
        self.board.preview(step, png)?;
        Ok(path)
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

    /// Adds a step's line to the metrics, and what it says, with the step's speed, to the event file.
    pub fn record(&mut self, metrics: &Metrics, images_per_second: f64) -> Result<()> {
        let line = serde_json::to_string(metrics)? + "\n";
        self.metrics.write_all(line.as_bytes()).map_err(write_error(self.path.join(METRICS)))?;
        self.board.step(&line, images_per_second)
    }

    /// Makes sure that the metrics are on disk, before a checkpoint that counts on them.
    pub fn sync(&mut self) -> Result<()> {
        self.check_ours()?;
        self.metrics.sync_all().map_err(write_error(self.path.join(METRICS)))?;
        self.board.sync()?;
        for picture in std::mem::take(&mut self.pictures) {
            let synced = File::open(&picture).and_then(|file| file.sync_all());
            synced.map_err(write_error(&picture))?;
            sync_names(picture.parent().unwrap_or(&self.path))?;
        }
        sync_names(&self.path)
    }

    /// Adds a line to the log, which is for people.
    pub fn log(&mut self, line: &str) -> Result<()> {
        writeln!(self.log, "{line}").map_err(write_error(self.path.join(LOG)))?;
        Ok(())
    }

    /// Adds an event to the run's record.
    pub fn tell(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event)? + "\n";
        self.events.write_all(line.as_bytes()).map_err(write_error(self.path.join(EVENTS)))?;
        Ok(())
    }
}

/// Where the preview of a run's step is.
pub fn preview_path(run: &Path, step: u64) -> PathBuf {
    run.join(PREVIEWS).join(format!("step-{step:06}.png"))
}

/// The pictures of a run by their steps.
pub fn previews(run: &Path) -> BTreeMap<u64, PathBuf> {
    let entries = std::fs::read_dir(run.join(PREVIEWS)).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let step: u64 = name.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()?;
        Some((step, entry.path()))
    });
    numbered.collect()
}

fn write_error(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> TrainError {
    move |cause| TrainError::Write { path: path.as_ref().into(), cause }
}

/// Whether a name is one that this program gives to a file that is not whole: `.NAME.PROCESS-COUNT.tmp`, or in
/// older versions `.tmp` and six letters or digits.
fn is_half(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY);
    if random.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return true;
    }
    let known = [".step-", ".judge", ".metrics.", ".config.", ".hashes.", ".events."]
        .iter()
        .any(|start| name.starts_with(start));
    known && duet_files::is_temporary(name)
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
    let (disk, above) = (RealDisk, folder_above(folder));
    disk.sync_dir(folder).map_err(write_error(folder))?;
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
            .any(|name| name != LOCK && name != STOP && !is_half(&name.to_string_lossy()))
}

const LOCK: &str = "LOCK";
/// Before the random part of a temporary name of older versions.
const TEMPORARY: &str = ".tmp";

/// Writes a file of a run's folder that is there whole or not at all. A link is replaced, not followed.
pub fn write_whole(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_atomically(path, bytes.as_ref())?;
    sync_names(path.parent().unwrap_or(Path::new("")))
}

/// Whether a folder is a run's. A pipe in the place of its configuration is named where that is read.
pub(crate) fn is_run(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder.join(CONFIG)).is_ok()
}

/// Takes the folder's lock, which the system gives back when the process ends, however it ends.
pub fn lock(path: &Path) -> Result<File> {
    let path = path.join(LOCK);
    let mut file = duet_files::append(&path).map_err(write_error(&path))?;
    let locked = file.try_lock().or_else(|error| match error {
        // The holder signs right after it has taken the lock, and who only looks gives it back at once.
        TryLockError::WouldBlock => {
            std::thread::sleep(std::time::Duration::from_millis(100));
            file.try_lock()
        }
        error => Err(error),
    });
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.rewind();
            let _ = file.take(100).read_to_string(&mut holder);
            return Err(Error::Busy { lock: path, holder: holder.trim().into() });
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

/// Whether a process holds a folder's lock. It takes the lock for a moment to see.
pub fn is_locked(path: &Path) -> bool {
    let Ok(file) = duet_files::open(&path.join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
