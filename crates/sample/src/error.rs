//! What can go wrong while sampling.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A setting outside its range; the message names it and its range.
    #[error("{0}")]
    Setting(String),
    /// An error of the schedule.
    #[error(transparent)]
    Schedule(#[from] duet_schedule::ScheduleError),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// An error of the denoiser.
    #[error(transparent)]
    Denoiser(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// The error for a text that does not give a value of an option. `expected` lists the valid texts and their
/// ranges.
pub(crate) fn not_read(text: &str, expected: impl std::fmt::Display) -> SampleError {
    SampleError::Setting(format!("{text}: {expected}"))
}
