//! What a run's folder tells, finished or not; nothing in the folder is changed.

use crate::eval_file::EvalFile;
use crate::run_folder::{self, Metrics};
use crate::terminal::err;
use crate::{config, model_folder, resume};
use anyhow::{Context, Result};
use candle_core::Device;
use duet_train::{Manifest, TrainError, checkpoint};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// The loss of a run is the mean of so many last steps.
pub const LAST_STEPS: usize = 50;
/// A longer log is not looked at.
const MAX_LOG: u64 = 1 << 28;

/// A run.
pub struct RunRecord {
    pub folder: PathBuf,
    /// The folder's.
    pub name: String,
    /// Of its `config.toml`, by dotted key.
    pub settings: BTreeMap<String, Value>,
    pub metrics: Vec<Metrics>,
    pub log: Log,
    /// Of the newest checkpoint; none before the first.
    pub network: Option<Network>,
    /// Oldest first.
    pub checkpoints: Vec<Checkpoint>,
    pub eval: Option<EvalFile>,
}

/// What the log knows and nothing else does.
#[derive(Debug, Default, PartialEq)]
pub struct Log {
    /// A line about the data.
    pub data: Option<String>,
    /// From the first step to the last, where the run was never stopped.
    pub time: Option<String>,
    /// Images a second at the end.
    pub rate: Option<f64>,
}

/// What was trained.
pub struct Network {
    pub parameters: usize,
    pub classes: Vec<String>,
}

/// A checkpoint, by its manifest.
pub struct Checkpoint {
    pub step: u64,
    pub name: String,
    pub files: usize,
    pub bytes: u64,
}

impl RunRecord {
    /// Reads a run; what of it is not there yet, or damaged, is left out.
    pub fn read(run: &str) -> Result<Self> {
        let Some(folder) = run_folder::of(run)? else {
            let reason = "neither a run's folder (with config.toml) nor a checkpoint in one".into();
            return Err(TrainError::Checkpoint { path: run.into(), reason }.into());
        };
        let settings = folder.join("config.toml");
        let settings =
            resume::flat(&config::read(&settings)?).with_context(|| settings.display().to_string())?;
        let metrics = run_folder::read_metrics(&folder.join("metrics.jsonl"))?;
        let saved = checkpoint::list(&folder.join("checkpoints"))?;
        let whole = std::fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        Ok(Self {
            name: whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned(),
            settings,
            metrics,
            log: Log::of(&duet_files::read(&folder.join("log.txt"), MAX_LOG).unwrap_or_default()),
            network: saved.iter().rev().find_map(|(_, path)| network(path)),
            checkpoints: saved.iter().filter_map(|(step, path)| describe(*step, path)).collect(),
            eval: eval(&folder, saved.last().map(|(_, path)| path.as_path())),
            folder,
        })
    }

    /// A setting as text, a path without the folders that lead to it.
    pub fn setting(&self, key: &str) -> Option<String> {
        Some(match self.settings.get(key)? {
            Value::String(path) if key == "data.source" => {
                Path::new(path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned())
            }
            Value::String(text) => text.clone(),
            value => value.to_string(),
        })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.metrics.last().map_or(0, |last| last.step)
    }

    /// Steps of the whole run, as its configuration has them.
    pub fn planned(&self) -> Option<u64> {
        self.count("train.steps")
    }

    /// Images seen, where the configuration says how many a step has.
    pub fn images(&self) -> Option<u64> {
        let accumulate = self.count("train.accumulate").unwrap_or(1);
        self.steps().checked_mul(self.count("train.batch")?)?.checked_mul(accumulate)
    }

    fn count(&self, key: &str) -> Option<u64> {
        self.settings.get(key)?.as_integer()?.try_into().ok()
    }

    /// Mean training loss of the last steps.
    pub fn last_loss(&self) -> Option<f64> {
        let last = &self.metrics[self.metrics.len().saturating_sub(LAST_STEPS)..];
        (!last.is_empty()).then(|| last.iter().map(|m| m.loss).sum::<f64>() / last.len() as f64)
    }

    /// The lowest held-out loss, and the step that it was measured after.
    pub fn best_held_out(&self) -> Option<(f64, u64)> {
        let measured = self.metrics.iter().filter_map(|m| Some((m.held_out_loss?, m.step)));
        measured.min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

impl Log {
    /// Reads the lines "step 0 of N: DATA" and "step N: done after TIME, RATE img/s".
    fn of(bytes: &[u8]) -> Self {
        let (mut log, mut from_the_beginning) = (Self::default(), true);
        for line in String::from_utf8_lossy(bytes).lines() {
            let Some((step, what)) = line.strip_prefix("step ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            if let Some((first, _)) = step.split_once(" of ") {
                from_the_beginning = first == "0";
                log.data = Some(what.into());
            }
            if let Some((time, rate)) =
                what.strip_prefix("done after ").and_then(|what| what.rsplit_once(", "))
            {
                log.time = from_the_beginning.then(|| time.into());
                log.rate = rate.strip_suffix(" img/s").and_then(|rate| rate.parse().ok());
            }
        }
        log
    }
}

fn network(folder: &Path) -> Option<Network> {
    let loaded = duet_model::load_folder(folder, &Device::Cpu).ok()?;
    let classes = model_folder::labels(&loaded).map(|(classes, _)| classes).unwrap_or_default();
    Some(Network { parameters: loaded.parameters.count(), classes })
}

fn describe(step: u64, folder: &Path) -> Option<Checkpoint> {
    let manifest = Manifest::read(folder).ok()?;
    Some(Checkpoint {
        step,
        name: folder.file_name()?.to_string_lossy().into_owned(),
        files: manifest.files.len(),
        bytes: manifest.files.values().map(|file| file.size).fold(0, u64::saturating_add),
    })
}

/// The run's own evaluation, or else its newest checkpoint's.
fn eval(run: &Path, newest: Option<&Path>) -> Option<EvalFile> {
    [Some(run), newest].into_iter().flatten().find_map(|folder| {
        EvalFile::read(folder).unwrap_or_else(|error| {
            err!("warning: {error:#}");
            None
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_knows_the_time_of_an_unbroken_run_alone() {
        let unbroken = "step 0 of 60: toys: 80 training and 0 test images\nstep 25: saved x: y\n\
                        step 60: done after 2 min 05 s, 30.5 img/s\n";
        let log = Log::of(unbroken.as_bytes());
        assert_eq!(log.data.as_deref(), Some("toys: 80 training and 0 test images"));
        assert_eq!((log.time.as_deref(), log.rate), (Some("2 min 05 s"), Some(30.5)));
        let broken = "step 0 of 60: toys\nstep 25 of 60: toys\nstep 60: done after 1 s, 9.5 img/s\n";
        let log = Log::of(broken.as_bytes());
        assert_eq!((log.time, log.rate), (None, Some(9.5)));
        assert_eq!(Log::of(b"\xff step: \nstep of: done after\nstep 1 of"), Log::default());
    }
}
