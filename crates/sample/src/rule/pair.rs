//! The input and the output of a rule of guidance.

use std::fmt::Display;

use crate::error::SampleError;
use crate::place::Place;
use candle_core::Tensor;

/// The terms in which a rule takes two predictions and returns one. They do not depend on what the network
/// predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// The terms of the network. They suit rules that are affine in both predictions: such rules are the
    /// same in ε, v and x_0.
    Predicted,
    /// v = √ᾱ ε - √(1-ᾱ) x_0.
    V,
    /// x_0.
    X0,
}

/// Two predictions for some images, in the rule's [`Terms`].
#[derive(Debug, Clone, Copy)]
pub struct PredictionPair<'a> {
    /// p(x, c), (n, C, H, W).
    pub given: &'a Tensor,
    /// p(x, ∅), or another prediction that guidance pushes away from, (n, C, H, W).
    pub free: &'a Tensor,
    /// w of each image, (n, 1, 1, 1). It can be 1 (no guidance) only with CFG++.
    pub weights: &'a Tensor,
    /// The place of the step in its trajectory.
    pub place: Place,
    /// What the rule remembered of these images in the previous step, (n, C, H, W).
    pub before: Option<&'a Tensor>,
}

/// The answer of a rule.
pub(crate) struct Guided {
    /// The guided prediction, in the rule's terms.
    pub prediction: Tensor,
    /// What the rule needs again in the next step.
    pub remembered: Option<Tensor>,
}

impl From<Tensor> for Guided {
    fn from(prediction: Tensor) -> Self {
        Self { prediction, remembered: None }
    }
}

/// A rule of guidance with its settings. `Display` writes the text that [`Combine::read`] reads.
pub(crate) trait Combine: Display {
    /// The texts that it reads, for a message.
    fn texts() -> &'static str
    where
        Self: Sized;

    /// Reads the rule from its text. None if the text belongs to no rule or another one, or if settings are
    /// out of range.
    fn read(text: &str) -> Option<Self>
    where
        Self: Sized;

    /// The terms in which it takes predictions.
    fn terms(&self) -> Terms;

    /// Whether only the free prediction matters at w = 0.
    fn is_free_at_zero(&self) -> bool {
        false
    }

    /// Whether a step depends on those before it.
    fn remembers(&self) -> bool {
        false
    }

    /// Combines two predictions into one.
    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError>;
}
