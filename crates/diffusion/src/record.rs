//! What a run's folder tells, finished or not; nothing in the folder is changed.

use crate::config;
use crate::error::{Result, Within};
use crate::eval_file::EvalFile;
use crate::events::{self, Event};
use crate::find;
use crate::metrics::{self, METRICS, Metrics};
use crate::resume;
use crate::run_folder::{CHECKPOINTS, CONFIG};
use candle_core::Device;
use duet_train::model_folder::ClassRows;
use duet_train::{Manifest, TrainError, checkpoint};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Value;

/// The loss of a run is the mean of so many last steps.
pub const LAST_STEPS: usize = 50;

/// A run.
pub struct RunRecord {
    /// The run's folder.
    pub folder: PathBuf,
    /// The folder's.
    pub name: String,
    /// Of its `config.toml`, by dotted key.
    pub settings: BTreeMap<String, Value>,
    /// One for each step.
    pub metrics: Vec<Metrics>,
    /// Data, time and speed.
    pub course: Course,
    /// Of the newest checkpoint; none before the first.
    pub network: Option<Network>,
    /// Oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// What `eval` found.
    pub eval: Option<EvalFile>,
}

/// What the events tell and nothing else does.
#[derive(Debug, Default, PartialEq)]
pub struct Course {
    /// A line about the data.
    pub data: Option<String>,
    /// From the first step to the last, where the run was never stopped.
    pub time: Option<Duration>,
    /// Images a second of the part that ended the run.
    pub rate: Option<f64>,
}

/// What was trained.
pub struct Network {
    /// Numbers that are learnt.
    pub parameters: usize,
    /// Names.
    pub classes: Vec<String>,
}

/// A checkpoint, by its manifest.
pub struct Checkpoint {
    /// Steps taken.
    pub step: u64,
    /// The folder's.
    pub name: String,
    /// How many its manifest lists.
    pub files: usize,
    /// Of all files.
    pub bytes: u64,
}

impl RunRecord {
    /// Reads a run; what of it is not there yet, or damaged, is left out.
    ///
    /// # Errors
    /// Where it is no run, or its configuration, metrics or events cannot be read.
    pub fn read(run: impl AsRef<Path>) -> Result<Self> {
        let run = run.as_ref();
        let Some(folder) = find::run_of(run)? else {
            let reason = "neither a run's folder (with config.toml) nor a checkpoint in one".into();
            return Err(TrainError::Checkpoint { path: run.into(), reason }.into());
        };
        let settings = folder.join(CONFIG);
        let settings = resume::flat(&config::read(&settings)?).within(settings.display().to_string())?;
        let metrics = metrics::read(&folder.join(METRICS))?;
        let saved = checkpoint::list(&folder.join(CHECKPOINTS))?;
        let whole = std::fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        Ok(Self {
            name: whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned(),
            settings,
            metrics,
            course: Course::of(events::read(&folder)?),
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

impl Course {
    fn of(events: Vec<Event>) -> Self {
        let (mut course, mut from_the_beginning) = (Self::default(), true);
        // A finished run that is resumed has nothing left to do, and that says nothing of its speed.
        let mut nothing_left = false;
        for event in events {
            match event {
                Event::Started { step, of, data } => {
                    (from_the_beginning, nothing_left) = (step == 0, step >= of);
                    course.data = Some(data);
                }
                Event::Done { seconds, images_per_second, .. } if !nothing_left => {
                    let time = Duration::try_from_secs_f64(seconds).ok();
                    course.time = time.filter(|_| from_the_beginning);
                    course.rate = Some(images_per_second);
                }
                Event::Done { .. } | Event::Saved { .. } | Event::CopiesRose { .. } => {}
            }
        }
        course
    }
}

fn network(folder: &Path) -> Option<Network> {
    let loaded = duet_model::load_folder(folder, &Device::Cpu).ok()?;
    let classes = ClassRows::read(&loaded).map(|rows| rows.classes).unwrap_or_default();
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
            log::warn!("{}", error.chain());
            None
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_unbroken_run_alone_is_known() {
        let started = |step| Event::Started { step, of: 60, data: "toys".into() };
        let done = Event::Done { step: 60, seconds: 125.0, images_per_second: 30.5 };
        let course = Course::of(vec![started(0), done.clone()]);
        assert_eq!(course.data.as_deref(), Some("toys"));
        assert_eq!((course.time, course.rate), (Some(Duration::from_secs(125)), Some(30.5)));
        let course = Course::of(vec![started(0), started(25), done]);
        assert_eq!((course.time, course.rate), (None, Some(30.5)));
    }

    #[test]
    fn a_finished_run_that_is_resumed_keeps_its_time_and_speed() {
        let started = |step| Event::Started { step, of: 60, data: "toys".into() };
        let done = |seconds, images_per_second| Event::Done { step: 60, seconds, images_per_second };
        let course = Course::of(vec![started(0), done(125.0, 30.5), started(60), done(0.1, 0.0)]);
        assert_eq!((course.time, course.rate), (Some(Duration::from_secs(125)), Some(30.5)));
    }
}
