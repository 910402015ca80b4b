//! What a solver must be able to say of itself.

use std::fmt::Display;

use crate::error::ScheduleError;
use crate::solver::update::UpdateTable;
use crate::steps::Steps;

/// The settings of a solver: they have a text, and become a table of factors.
///
/// `Display` writes the text that [`Method::read`] reads.
pub(crate) trait Method: Display {
    /// The names that people ask by.
    fn names() -> &'static [&'static str]
    where
        Self: Sized;

    /// The settings of a text, which may be out of range; none if it is another solver's or no text.
    fn read(text: &str) -> Option<Self>
    where
        Self: Sized;

    /// One name for all settings.
    fn name(&self) -> &'static str;

    /// Refuses settings that are out of range.
    fn check(&self) -> Result<(), ScheduleError> {
        Ok(())
    }

    /// How many intervals to ask a spacing for, if the network is to be asked `evaluations` times.
    fn intervals(&self, evaluations: usize) -> usize {
        evaluations
    }

    /// What is done in each step, of settings in their range.
    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError>;
}

/// The word of a value; each has one.
pub(crate) fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, other)| *other == value).map_or("", |(word, _)| word)
}

/// The value of a word.
pub(crate) fn value_of<T: Copy>(words: &[(&'static str, T)], word: &str) -> Option<T> {
    words.iter().find(|(other, _)| *other == word).map(|(_, value)| *value)
}
