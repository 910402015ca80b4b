//! Where guidance applies, in the words of a person.

use std::fmt;
use std::str::FromStr;

use crate::error::{SampleError, not_read};
use crate::noise_interval::NoiseInterval;
use duet_schedule::NoiseSchedule;

/// Where guidance applies. Elsewhere, the network evaluates each image once instead of twice.
///
/// As text: `all`, noise levels such as `0.2:5`, or timesteps such as `100t:800t`. Serde uses the same
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum GuidanceInterval {
    /// Everywhere.
    #[default]
    All,
    /// In this interval of noise levels.
    Levels(NoiseInterval),
    /// From one timestep to another, both included.
    Timesteps {
        /// The smallest.
        first: usize,
        /// The largest, at most T-1.
        last: usize,
    },
}

impl GuidanceInterval {
    /// The interval as noise levels; timesteps become their noise levels in `schedule`.
    ///
    /// Errors: as [`NoiseInterval::of_timesteps`].
    pub fn noise_interval(self, schedule: &NoiseSchedule) -> Result<NoiseInterval, SampleError> {
        match self {
            Self::All => Ok(NoiseInterval::default()),
            Self::Levels(interval) => Ok(interval),
            Self::Timesteps { first, last } => NoiseInterval::of_timesteps(first, last, schedule),
        }
    }
}

impl fmt::Display for GuidanceInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Levels(interval) => {
                let (low, high) = interval.levels();
                write!(f, "{low}:{high}")
            }
            Self::Timesteps { first, last } => write!(f, "{first}t:{last}t"),
        }
    }
}

impl FromStr for GuidanceInterval {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let wrong = || not_read(text, "two noise levels such as 0.2:5, or timesteps 100t:800t");
        if text == "all" {
            return Ok(Self::All);
        }
        let (low, high) = text.split_once(':').ok_or_else(wrong)?;
        match (low.strip_suffix('t'), high.strip_suffix('t')) {
            (Some(first), Some(last)) => {
                let timestep = |text: &str| text.parse::<usize>().map_err(|_| wrong());
                let (first, last) = (timestep(first)?, timestep(last)?);
                match first <= last {
                    true => Ok(Self::Timesteps { first, last }),
                    false => {
                        Err(not_read(text, format!("interval of timesteps {first} to {last}: must rise")))
                    }
                }
            }
            _ => {
                let level = |text: &str| text.parse::<f64>().map_err(|_| wrong());
                let interval = NoiseInterval::new(level(low)?, level(high)?);
                interval.map(Self::Levels).map_err(|cause| not_read(text, cause))
            }
        }
    }
}

duet_schedule::serde_as_text!(GuidanceInterval);
