//! Plain guidance (Ho & Salimans 2022, equation 6).

use std::fmt;

use crate::error::SampleError;
use crate::rule::pair::{Combine, Guided, PredictionPair, Terms};
use candle_core::Tensor;

/// p(x, ∅) + w · (p(x, c) - p(x, ∅)).
///
/// As text: `plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain;

impl Combine for Plain {
    fn texts() -> &'static str {
        "plain"
    }

    fn read(text: &str) -> Option<Self> {
        (text == "plain").then_some(Self)
    }

    fn terms(&self) -> Terms {
        Terms::Predicted
    }

    fn is_free_at_zero(&self) -> bool {
        true
    }

    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError> {
        Ok(plain(pair.given, pair.free, pair.weights)?.into())
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain")
    }
}

/// p̃ = p(x, ∅) + w (p(x, c) - p(x, ∅))
pub(crate) fn plain(given: &Tensor, free: &Tensor, weights: &Tensor) -> Result<Tensor, SampleError> {
    Ok((free + (given - free)?.broadcast_mul(weights)?)?)
}
