//! What can go wrong, by what a caller can do about it.

use duet_data::DataError;
use duet_eval::EvalError;
use duet_judge::ClassifierError;
use duet_model::ModelError;
use duet_optim::OptimError;
use duet_sample::SampleError;
use duet_schedule::ScheduleError;
use duet_train::TrainError;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this crate. The text of one that has a source does not repeat the source's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that cannot be what it is: out of its range, or not together with another.
    #[error("{name}{problem}")]
    Option {
        /// What the option is called, in words joined by `-`.
        name: &'static str,
        /// Its value and what is wrong with it.
        problem: String,
    },
    /// The source is an error of this option's value.
    #[error("{name}")]
    InOption {
        /// What the option is called, in words joined by `-`.
        name: &'static str,
        /// What is wrong.
        source: Box<Self>,
    },
    /// Settings, files or data that do not go together; the message says what to change.
    #[error("{0}")]
    Setting(String),
    /// The source is an error of this part of the work, or of this file.
    #[error("{what}")]
    In {
        /// The part or the file.
        what: String,
        /// What is wrong.
        source: Box<Self>,
    },
    /// Another process trains the run.
    #[error("{lock}: another process trains this run ({holder})")]
    Busy {
        /// The file that is locked.
        lock: PathBuf,
        /// How the other process signed it.
        holder: String,
    },
    /// There is no run with a checkpoint where runs are put.
    #[error("{folder}: no run with a checkpoint under {folder}/")]
    NoRun {
        /// Where runs are put.
        folder: PathBuf,
    },
    /// A model folder without a scheduler: nothing says how its network was trained.
    #[error(
        "{path}: not there, so nothing says how its network was trained; `import` makes a whole folder \
         of it, with another scheduler_config.json or diffusers' defaults"
    )]
    NoScheduler {
        /// The model folder.
        folder: PathBuf,
        /// Where the scheduler should be.
        path: PathBuf,
    },
    /// A picture that is not what is drawn now.
    #[error("{picture}: {reason}")]
    NotReproduced {
        /// The picture's file.
        picture: PathBuf,
        /// Why.
        reason: String,
    },
    /// Reading data or pictures, or writing files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Reading or running a network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training, and reading and writing checkpoints.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Sampling and guidance.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Noise schedules, timesteps and schedulers.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Averages of weights.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// Metrics.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The classifier that judges.
    #[error(transparent)]
    Judge(#[from] ClassifierError),
    /// A configuration that is no TOML, or has a key that there is not.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A configuration that TOML cannot hold.
    #[error(transparent)]
    ToToml(#[from] toml::ser::Error),
    /// A file that is not the JSON it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// The text of this error and of what caused it, with a colon between.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}

/// An error of an option: `problem` begins with a space, or with what joins it to the name.
pub(crate) fn option(name: &'static str, problem: impl Into<String>) -> Error {
    Error::Option { name, problem: problem.into() }
}

/// An error of settings.
pub(crate) fn setting(message: impl Into<String>) -> Error {
    Error::Setting(message.into())
}

/// Says where an error came up.
pub(crate) trait Within<T> {
    /// In this part of the work, or in this file.
    fn within(self, what: impl Into<String>) -> Result<T>;
    /// In this option's value.
    fn in_option(self, name: &'static str) -> Result<T>;
}

impl<T, E: Into<Error>> Within<T> for Result<T, E> {
    fn within(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::In { what: what.into(), source: Box::new(error.into()) })
    }

    fn in_option(self, name: &'static str) -> Result<T> {
        self.map_err(|error| Error::InOption { name, source: Box::new(error.into()) })
    }
}
