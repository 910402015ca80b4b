//! Exit codes, by the kind of error.

use crate::terminal::{err, lost};
use duet_data::DataError;
use duet_judge::ClassifierError;
use duet_model::ModelError;
use duet_sample::SampleError;
use duet_train::TrainError;
use std::process::ExitCode;

/// An error of the command line or the configuration.
#[derive(Debug)]
pub struct Usage(pub String);

/// The run was stopped by this signal after saving.
#[derive(Debug)]
pub struct Interrupted(pub i32);

/// A program that was run for a verb ended with this code; it has said why.
#[derive(Debug)]
pub struct Child(pub u8);

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
        err!("error: {error:#}");
    }
    ExitCode::from(code(&error))
}

/// 2 usage or configuration, 3 diverged, 4 data, 5 checkpoint, 6 I/O, 128 + n for signal n.
fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(Interrupted(signal)) = cause.downcast_ref() {
            return 128u8.saturating_add(*signal as u8);
        }
        if let Some(Child(code)) = cause.downcast_ref() {
            return *code;
        }
        if cause.is::<duet_optim::OptimError>() {
            return 2;
        }
        if cause.is::<Usage>() || cause.is::<duet_schedule::ScheduleError>() || cause.is::<toml::de::Error>()
        {
            return 2;
        }
        match cause.downcast_ref::<DataError>() {
            Some(DataError::Write { .. }) => return 6,
            Some(_) => return 4,
            None => {}
        }
        match cause.downcast_ref::<TrainError>() {
            Some(TrainError::Diverged { .. }) => return 3,
            Some(TrainError::Option(_) | TrainError::Schedule(_)) => return 2,
            Some(TrainError::Checkpoint { .. }) => return 5,
            Some(TrainError::Write { .. } | TrainError::Read { .. }) => return 6,
            Some(TrainError::Model(error)) => return of_model(error),
            _ => {}
        }
        if let Some(error) = cause.downcast_ref::<ModelError>() {
            return of_model(error);
        }
        if let Some(SampleError::Setting(_) | SampleError::Schedule(_)) = cause.downcast_ref() {
            return 2;
        }
        match cause.downcast_ref::<ClassifierError>() {
            Some(ClassifierError::Write { .. }) => return 6,
            Some(
                ClassifierError::Read { .. } | ClassifierError::File { .. } | ClassifierError::Weights(_),
            ) => {
                return 5;
            }
            Some(ClassifierError::Data(_) | ClassifierError::Input(_)) => return 4,
            _ => {}
        }
        if cause.is::<std::io::Error>() {
            return 6;
        }
    }
    1
}

fn of_model(error: &ModelError) -> u8 {
    match error {
        ModelError::Config { .. } | ModelError::Json(_) | ModelError::Input(_) => 2,
        ModelError::Read { .. } | ModelError::File { .. } | ModelError::Weights(_) => 5,
        ModelError::Candle(_) => 1,
    }
}
