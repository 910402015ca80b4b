//! Zero-star (Fan et al. 2025, "CFG-Zero*"): the null prediction at its best scale.

use std::fmt;

use crate::error::SampleError;
use crate::per_image::dot;
use crate::rule::pair::{Combine, Guided, PredictionPair, Terms};
use crate::rule::plain::plain;
use candle_core::Tensor;

/// Plain guidance with a scaled free prediction. The scale brings it as near as possible to the conditional
/// one, both as v (Fan et al. 2025, "CFG-Zero*").
///
/// As text: `zero-star`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroStar;

impl Combine for ZeroStar {
    fn texts() -> &'static str {
        "zero-star"
    }

    fn read(text: &str) -> Option<Self> {
        (text == "zero-star").then_some(Self)
    }

    fn terms(&self) -> Terms {
        Terms::V
    }

    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError> {
        Ok(plain(pair.given, &scaled(pair.given, pair.free)?, pair.weights)?.into())
    }
}

impl fmt::Display for ZeroStar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zero-star")
    }
}

/// s* v(∅) with s* = ⟨v(c), v(∅)⟩/‖v(∅)‖² of each image, which minimises ‖v(c) - s v(∅)‖.
///
/// The predictions are converted to v, whatever the network predicts. The paper scales the velocity of a
/// flow, and v is the velocity of this one, along the angle with cos² = ᾱ. At high noise ε is nearly x for
/// every class, and s* of ε would be 1 there. The paper also leaves out the first steps. That half is for
/// flows whose first velocity is wrong, and is not done here.
fn scaled(given: &Tensor, free: &Tensor) -> Result<Tensor, SampleError> {
    let scale = (dot(given, free)? / (dot(free, free)? + 1e-8)?)?;
    Ok(free.broadcast_mul(&scale)?)
}
