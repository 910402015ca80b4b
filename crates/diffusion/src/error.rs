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
    /// There is something already where a new file or folder is to be made.
    #[error("{path}: there is something already")]
    Exists {
        /// The place.
        path: PathBuf,
        /// Whether it is a run, with which [`crate::Session::resume`] may go on.
        is_run: bool,
    },
    /// A run cannot go on as it is.
    #[error("{run}: {why}")]
    CannotResume {
        /// The run's folder.
        run: PathBuf,
        /// Why, by what can be done about it.
        why: CannotResume,
    },
    /// A run cannot go on with other images than those that it began with.
    #[error("{images}: its {} are not those that the run began with: the run cannot go on with other images", .split.images())]
    OtherImages {
        /// Where the images are, as the run's configuration or its change names it.
        images: String,
        /// Which of them are others.
        split: Split,
    },
    /// An option that means nothing without another.
    #[error("{name}: goes with {needs} alone")]
    Needs {
        /// The option, in words joined by `-`.
        name: &'static str,
        /// The other.
        needs: &'static str,
    },
    /// Two options that do not go together.
    #[error("{name}: does not go together with {other}")]
    Excludes {
        /// The one, in words joined by `-`.
        name: &'static str,
        /// The other.
        other: &'static str,
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
    /// Ranks of one job that are not the same in what must be the same.
    #[error("{0}")]
    Differ(String),
    /// A rank that is lost or has failed.
    #[error(transparent)]
    Rank(#[from] duet_ranks::RankError),
    /// A picture that is not what is drawn now.
    #[error("{picture}: {reason}")]
    NotReproduced {
        /// The picture's file.
        picture: PathBuf,
        /// Why.
        reason: String,
    },
    /// A picture that takes more evaluations of the network than its reader allows.
    #[error("this picture takes more than {most} evaluations of the network")]
    TooMuchWork {
        /// So many are allowed.
        most: u64,
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
    /// What a function of the caller returned to end the work, see [`Error::caller`]. This crate makes none.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotResume {
    /// It has metrics and no checkpoint: its checkpoints were taken away, or it was stopped before the first
    /// one and begins again with [`crate::Resume::restart`].
    #[error("it has taken {steps} steps and has no checkpoint")]
    NoCheckpoint {
        /// Steps in its metrics.
        steps: u64,
    },
    /// Each of its checkpoints is damaged.
    #[error("none of its checkpoints is whole")]
    NoneWhole,
    /// Its metrics end before its oldest checkpoint. It goes on without them from a checkpoint that is named.
    #[error("{reason}, and no checkpoint is that old")]
    MetricsEnd {
        /// Where and why they end.
        reason: String,
        /// The newest whole checkpoint.
        checkpoint: PathBuf,
    },
}

/// Training images or held-out ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Those that are learnt from.
    Training,
    /// Those that losses and samples are measured with.
    HeldOut,
}

impl Split {
    fn images(self) -> &'static str {
        match self {
            Self::Training => "images",
            Self::HeldOut => "held-out images",
        }
    }
}

impl Error {
    /// What a function of the caller returns to end the work, such as the `on_step` of a drawing that is
    /// cancelled: `Err(Error::caller("cancelled"))`. The work returns it as it is.
    pub fn caller(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Caller(reason.into())
    }

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
        self.map_err(|error| match error.into() {
            // The option is what the run was named by.
            Error::InOption { name: "run", source } => Error::InOption { name, source },
            error => Error::InOption { name, source: Box::new(error) },
        })
    }
}
