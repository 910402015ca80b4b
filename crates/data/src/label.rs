//! Which label of an image, where a data set has two.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Which of two labels of an image is its class. CIFAR-100 has both: `maple_tree` is the fine label, `trees`
/// the coarse one.
///
/// The text form is `fine` or `coarse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LabelKind {
    /// The label with more classes.
    Fine,
    /// The label with fewer classes.
    Coarse,
}

impl LabelKind {
    /// The other of the two.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Fine => Self::Coarse,
            Self::Coarse => Self::Fine,
        }
    }
}

impl fmt::Display for LabelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "fine",
            Self::Coarse => "coarse",
        })
    }
}

impl FromStr for LabelKind {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "fine" => Ok(Self::Fine),
            "coarse" => Ok(Self::Coarse),
            _ => Err(DataError::invalid(format!("{text:?} is neither of two labels: use fine or coarse"))),
        }
    }
}

impl TryFrom<String> for LabelKind {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        text.parse()
    }
}

impl From<LabelKind> for String {
    fn from(kind: LabelKind) -> Self {
        kind.to_string()
    }
}
