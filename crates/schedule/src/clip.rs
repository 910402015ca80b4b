//! What is done to x̂_0 before a step is taken.

use std::fmt;
use std::str::FromStr;

use crate::error::ScheduleError;

/// The default limit of `static`: images lie in [-1, 1].
const LIMIT: f64 = 1.0;

/// The default quantile of `dynamic` (Saharia et al. 2022, appendix E).
const RATIO: f64 = 0.995;

/// What is done to x̂_0 before a step is taken.
///
/// As text: `none`, `static`, `static:LIMIT`, `dynamic`, `dynamic:RATIO` or `dynamic:RATIO:MAX`. Serde
/// uses the same text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// No change.
    No,
    /// Clamped to ±limit.
    Static {
        /// The limit, positive and finite.
        limit: f64,
    },
    /// Clamped to ±s and divided by s. s is the `ratio` quantile of an image's |x̂_0|, limited to [1,
    /// `max`] (Saharia et al. 2022, section 2.3).
    Dynamic {
        /// The quantile, 0 to 1.
        ratio: f64,
        /// The limit, positive and finite. If it is below 1, s = `max`. [`f64::MAX`] means no limit.
        max: f64,
    },
}

impl Clip {
    /// This clip unchanged. Errors: a number outside its range.
    pub fn checked(self) -> Result<Self, ScheduleError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let refuse =
            |name: &str, value, range| Err(ScheduleError::OutOfRange { name: name.into(), value, range });
        match self {
            Self::Static { limit } if !positive(limit) => refuse("clip limit", limit, "positive and finite"),
            Self::Dynamic { ratio, .. } if !(0.0..=1.0).contains(&ratio) => {
                refuse("clip ratio", ratio, "0 to 1")
            }
            Self::Dynamic { max, .. } if !positive(max) => refuse("clip maximum", max, "positive and finite"),
            clip => Ok(clip),
        }
    }
}

impl fmt::Display for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::No => f.write_str("none"),
            Self::Static { limit: LIMIT } => f.write_str("static"),
            Self::Static { limit } => write!(f, "static:{limit}"),
            Self::Dynamic { ratio: RATIO, max: f64::MAX } => f.write_str("dynamic"),
            Self::Dynamic { ratio, max: f64::MAX } => write!(f, "dynamic:{ratio}"),
            Self::Dynamic { ratio, max } => write!(f, "dynamic:{ratio}:{max}"),
        }
    }
}

impl FromStr for Clip {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError::Text {
            text: text.into(),
            expected: "none, static[:LIMIT above 0] or dynamic[:RATIO 0 to 1]".into(),
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let numbers: Result<Vec<f64>, _> = parts.map(str::parse).collect();
        let clip = match (name, &numbers.map_err(|_| wrong())?[..]) {
            ("none", []) => Self::No,
            ("static", []) => Self::Static { limit: LIMIT },
            ("static", &[limit]) => Self::Static { limit },
            ("dynamic", []) => Self::Dynamic { ratio: RATIO, max: f64::MAX },
            ("dynamic", &[ratio]) => Self::Dynamic { ratio, max: f64::MAX },
            ("dynamic", &[ratio, max]) => Self::Dynamic { ratio, max },
            _ => return Err(wrong()),
        };
        clip.checked().map_err(|_| wrong())
    }
}

crate::serde_as_text!(Clip);
