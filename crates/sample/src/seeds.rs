//! The seeds of images.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::{SampleError, not_read};

/// A list of seeds in the given order; a seed may appear twice.
///
/// As text: numbers and rising ranges, such as `0-7,100`. Serde uses the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(Vec<RangeInclusive<u64>>);

impl Seeds {
    /// The largest number of seeds.
    pub const MOST: u64 = 1_000_000;

    /// Errors: no range; one that falls; more than [`Seeds::MOST`] seeds.
    pub fn new(ranges: Vec<RangeInclusive<u64>>) -> Result<Self, SampleError> {
        if ranges.is_empty() {
            return Err(SampleError::Setting("seeds: at least one is needed".into()));
        }
        if let Some(range) = ranges.iter().find(|range| range.is_empty()) {
            let (first, last) = (range.start(), range.end());
            return Err(SampleError::Setting(format!("seeds {first}-{last}: a range must rise")));
        }
        let seeds = Self(ranges);
        match seeds.count() {
            Some(_) => Ok(seeds),
            None => {
                let most = Self::MOST;
                Err(SampleError::Setting(format!("seeds {seeds}: at most {most} at once")))
            }
        }
    }

    /// The number of seeds; none if there are too many.
    fn count(&self) -> Option<u64> {
        let longer = |count: u64, range: &RangeInclusive<u64>| {
            count
                .checked_add(range.end() - range.start())?
                .checked_add(1)
                .filter(|&count| count <= Self::MOST)
        };
        self.0.iter().try_fold(0, longer)
    }

    /// All seeds, in order.
    pub fn to_vec(&self) -> Vec<u64> {
        self.0.iter().cloned().flatten().collect()
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Seeds {
    type Err = SampleError;

    /// Errors: a part that is neither a number nor a rising range (the error names this part); more than
    /// [`Seeds::MOST`] seeds.
    fn from_str(text: &str) -> Result<Self, SampleError> {
        let range = |part: &str| {
            let wrong = || not_read(part, "use numbers and rising ranges, such as 0-7,100");
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
            let range = number(first)?..=number(last)?;
            if range.is_empty() { Err(wrong()) } else { Ok(range) }
        };
        let ranges = text.split(',').map(str::trim).map(range).collect::<Result<_, _>>()?;
        Self::new(ranges).map_err(|_| not_read(text, format!("at most {} at once", Self::MOST)))
    }
}

duet_schedule::serde_as_text!(Seeds);
