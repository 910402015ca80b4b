//! An answer that is no success.

use duet_diffusion::Error;
use duet_diffusion::data::DataError;
use duet_diffusion::train::TrainError;
use http::StatusCode;
use serde_json::{Value, json};

/// What is wrong, and with which option of a drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// As HTTP has it.
    pub status: StatusCode,
    /// In words.
    pub error: String,
    /// The option at fault, where it is one's.
    pub option: Option<String>,
}

impl Refusal {
    /// With a status and words.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), option: None }
    }

    /// A request that is wrong in itself.
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// A request for what is not there.
    pub fn absent(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// A request beyond a limit.
    pub fn beyond(error: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// A fault of the program.
    pub fn failed() -> Self {
        let error = "the program failed at this request; its terminal says how";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// Nobody waits for the answer.
    pub fn cancelled() -> Self {
        Self::new(StatusCode::CONFLICT, "cancelled: a newer request took its place")
    }

    /// Of this option of a drawing.
    pub fn of(self, option: impl Into<String>) -> Self {
        Self { option: Some(option.into()), ..self }
    }

    /// As JSON, without its status.
    pub fn to_json(&self) -> Value {
        match &self.option {
            Some(option) => json!({"error": self.error, "option": option}),
            None => json!({"error": self.error}),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: status_of(&error), error: error.chain(), option: option_of(&error) }
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::InOption { source, .. } | Error::In { source, .. } => status_of(source),
        Error::NoRun { .. } | Error::NoScheduler { .. } => StatusCode::NOT_FOUND,
        Error::Train(TrainError::Checkpoint { .. } | TrainError::Read { .. }) => StatusCode::NOT_FOUND,
        Error::Busy { .. } => StatusCode::CONFLICT,
        Error::Data(DataError::Write { .. }) | Error::Train(TrainError::Write { .. }) | Error::Candle(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

fn option_of(error: &Error) -> Option<String> {
    match error {
        Error::Option { name, .. }
        | Error::InOption { name, .. }
        | Error::Needs { name, .. }
        | Error::Excludes { name, .. } => Some((*name).into()),
        Error::In { source, .. } => option_of(source),
        _ => None,
    }
}
