//! Exit codes, by the kind of error.

use crate::terminal::{command, err, lost};
use duet_diffusion::data::DataError;
use duet_diffusion::ranks::RankError;
use duet_diffusion::words::quoted;
use duet_diffusion::{CannotResume, Error};
use duet_judge::ClassifierError;
use duet_model::ModelError;
use duet_sample::SampleError;
use duet_train::TrainError;
use std::process::ExitCode;

/// An error of the command line.
#[derive(Debug)]
pub struct Usage(pub String);

/// The run was stopped by this signal after saving.
#[derive(Debug)]
pub struct Interrupted(pub i32);

/// A program that was run for a verb ended with this code; it has said why.
#[derive(Debug)]
pub struct Child(pub u8);

impl Child {
    /// Of how the program ended; 1 where it has no code, such as after a signal.
    pub fn of(status: std::process::ExitStatus) -> Self {
        Self(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "stopped by signal {}", self.0)
    }
}

impl std::fmt::Display for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for Interrupted {}
impl std::error::Error for Child {}

/// A usage error as `anyhow`'s.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Prints an error and turns the outcome into the process's exit code.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return match lost() {
            None => ExitCode::SUCCESS,
            Some(error) => {
                err!("error: cannot write to standard output: {error}");
                ExitCode::from(6)
            }
        };
    };
    if !error.is::<Interrupted>() && !error.is::<Child>() {
        err!("error: {}", text(&error));
    }
    ExitCode::from(code(&error))
}

/// The error and its causes as the program says them: options are flags here, and what to do is a command.
pub fn text(error: &anyhow::Error) -> String {
    let parts: Vec<String> = error
        .chain()
        .map(|cause| match library(cause) {
            Some(Error::Option { .. } | Error::InOption { .. }) => format!("--{cause}"),
            Some(Error::Exists { .. }) => format!("--out {cause}"),
            Some(Error::Needs { name, needs }) => format!("--{name}: goes with --{needs} alone"),
            Some(Error::Excludes { name, other }) => format!("--{name}: does not go together with --{other}"),
            _ => cause.to_string(),
        })
        .collect();
    let known = error.chain().find_map(|cause| match library(cause)? {
        Error::Exists { path, is_run: true } => {
            let run = quoted(&path.display().to_string());
            Some(format!("resume it with --resume {run}, or choose another folder"))
        }
        Error::Exists { .. } => Some("choose another folder".into()),
        Error::CannotResume { why, .. } => of_resuming(why),
        Error::TooMuchWork { .. } => Some("if you trust it, allow more with --most N".into()),
        Error::OtherImages { .. } => Some("name the same ones with --data, or start a new run".into()),
        Error::NoRun { .. } => Some(format!("train one with `{}`", command(["train"]))),
        Error::NoScheduler { folder, .. } => {
            let words = ["import", &folder.display().to_string(), "--out", "DIR"];
            Some(format!("such as `{}`", command(words)))
        }
        _ => None,
    });
    match known {
        Some(hint) => format!("{}; {hint}", parts.join(": ")),
        None => parts.join(": "),
    }
}

/// What to do where a run cannot go on.
fn of_resuming(why: &CannotResume) -> Option<String> {
    Some(match why {
        CannotResume::NoCheckpoint { .. } => {
            "put its checkpoints/ back, or, if it was stopped before the first one, begin it again with --restart"
                .into()
        }
        CannotResume::NoneWhole => "start the run anew, with another --out".into(),
        CannotResume::MetricsEnd { checkpoint, .. } => {
            let checkpoint = quoted(&checkpoint.display().to_string());
            format!("put the file back, or go on without those lines: --resume {checkpoint}")
        }
        _ => return None,
    })
}

/// An error of the library, be it in a box as the cause of another.
fn library<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    cause.downcast_ref().or_else(|| cause.downcast_ref::<Box<Error>>().map(Box::as_ref))
}

/// 2 usage or configuration, 3 diverged, 4 data, 5 checkpoint, 6 I/O, 128 + n for signal n.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(1)
}

/// An error of the ranks of a job, be it the cause of another.
pub fn rank_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a RankError> {
    match library(cause) {
        Some(Error::Rank(error) | Error::Train(TrainError::Ranks(error))) => Some(error),
        _ => None,
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(Interrupted(signal)) = cause.downcast_ref() {
        return Some(128u8.saturating_add(*signal as u8));
    }
    if let Some(Child(code)) = cause.downcast_ref() {
        return Some(*code);
    }
    if let Some(error) = library(cause) {
        return of_library(error);
    }
    if cause.is::<Usage>() {
        return Some(2);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_data(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_model(error);
    }
    cause.is::<std::io::Error>().then_some(6)
}

fn of_library(error: &Error) -> Option<u8> {
    match error {
        Error::Option { .. }
        | Error::Setting(_)
        | Error::Exists { .. }
        | Error::OtherImages { .. }
        | Error::TooMuchWork { .. }
        | Error::Needs { .. }
        | Error::Excludes { .. }
        | Error::Busy { .. }
        | Error::Differ(_)
        | Error::Schedule(_)
        | Error::Optim(_)
        | Error::Toml(_) => Some(2),
        Error::NoRun { .. } | Error::NoScheduler { .. } | Error::CannotResume { .. } => Some(5),
        Error::Data(error) => of_data(error),
        Error::Model(error) => of_model(error),
        Error::Train(error) => of_training(error),
        Error::Sample(SampleError::Setting(_) | SampleError::Schedule(_)) => Some(2),
        Error::Judge(error) => of_judge(error),
        Error::Rank(error) => of_rank(error),
        _ => None,
    }
}

fn of_data(error: &DataError) -> Option<u8> {
    Some(if let DataError::Write { .. } = error { 6 } else { 4 })
}

fn of_training(error: &TrainError) -> Option<u8> {
    match error {
        TrainError::Diverged { .. } => Some(3),
        TrainError::Option(_) | TrainError::Schedule(_) | TrainError::Optim(_) => Some(2),
        TrainError::Checkpoint { .. } => Some(5),
        TrainError::Write { .. } | TrainError::Read { .. } => Some(6),
        TrainError::Model(error) => of_model(error),
        TrainError::Ranks(error) => of_rank(error),
        _ => None,
    }
}

/// A rank that has ended has said with which code.
fn of_rank(error: &RankError) -> Option<u8> {
    match error {
        RankError::Failed { code, .. } => Some(*code),
        _ => None,
    }
}

fn of_judge(error: &ClassifierError) -> Option<u8> {
    match error {
        ClassifierError::Write { .. } => Some(6),
        ClassifierError::Read { .. } | ClassifierError::File { .. } | ClassifierError::Weights(_) => Some(5),
        ClassifierError::Data(_) | ClassifierError::Input(_) => Some(4),
        _ => None,
    }
}

fn of_model(error: &ModelError) -> Option<u8> {
    Some(match error {
        ModelError::Config { .. } | ModelError::Json(_) | ModelError::Input(_) => 2,
        ModelError::Read { .. } | ModelError::File { .. } | ModelError::Weights(_) => 5,
        ModelError::Candle(_) => 1,
    })
}
