//! Images between two seeds or two classes.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::{SampleError, not_read};

/// How many images there may be.
const COUNT: RangeInclusive<usize> = 2..=1000;

/// The kind of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Two seeds' noise: see [`Trajectory::with_towards`](crate::Trajectory::with_towards).
    Seeds,
    /// Two classes: see [`Labels::mixtures`](crate::Labels::mixtures).
    Classes,
}

/// A number of images that go from one seed or class to another, both ends included.
///
/// As text: `seeds:N` or `classes:N`, N from 2 to 1000. Serde uses the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpolation {
    ends: Ends,
    count: usize,
}

impl Interpolation {
    /// Errors: a count outside 2 to 1000.
    pub fn new(ends: Ends, count: usize) -> Result<Self, SampleError> {
        let (least, most) = COUNT.into_inner();
        match COUNT.contains(&count) {
            true => Ok(Self { ends, count }),
            false => {
                Err(SampleError::Setting(format!("interpolation {count}: must be {least} to {most} images")))
            }
        }
    }

    /// The kind of the two ends.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The number of images, both ends included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The position of each image, from 0 at the first end to 1 at the other.
    pub fn shares(&self) -> Vec<f64> {
        (0..self.count).map(|k| k as f64 / (self.count - 1) as f64).collect()
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = match self.ends {
            Ends::Seeds => "seeds",
            Ends::Classes => "classes",
        };
        write!(f, "{ends}:{}", self.count)
    }
}

impl FromStr for Interpolation {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let (least, most) = COUNT.into_inner();
        let wrong = || not_read(text, format!("seeds:N or classes:N, N from {least} to {most}"));
        let (ends, count) = text.split_once(':').ok_or_else(wrong)?;
        let ends = match ends {
            "seeds" => Ends::Seeds,
            "classes" => Ends::Classes,
            _ => return Err(wrong()),
        };
        Self::new(ends, count.parse().map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

duet_schedule::serde_as_text!(Interpolation);
