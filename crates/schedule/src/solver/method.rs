//! What each solver defines.

use std::fmt::Display;

use crate::error::ScheduleError;
use crate::solver::update::UpdateTable;
use crate::steps::Steps;

/// The settings of a solver. They have a text, and they become a table of factors.
///
/// `Display` writes the text that [`Method::read`] reads.
pub(crate) trait Method: Display {
    /// The names that a person can use.
    fn names() -> &'static [&'static str]
    where
        Self: Sized;

    /// Reads settings from a text; they may be out of range. None if the text does not belong to this
    /// solver.
    fn read(text: &str) -> Option<Self>
    where
        Self: Sized;

    /// One name for all settings.
    fn name(&self) -> &'static str;

    /// Refuses settings that are out of range.
    fn check(&self) -> Result<(), ScheduleError> {
        Ok(())
    }

    /// The number of intervals for which the network is asked `evaluations` times.
    fn intervals(&self, evaluations: usize) -> usize {
        evaluations
    }

    /// The table of factors for settings that are in their ranges.
    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError>;
}

/// The word for a value. Every value has one.
pub(crate) fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, other)| *other == value).map_or("", |(word, _)| word)
}

/// The value for a word.
pub(crate) fn value_of<T: Copy>(words: &[(&'static str, T)], word: &str) -> Option<T> {
    words.iter().find(|(other, _)| *other == word).map(|(_, value)| *value)
}
