//! What a rule of guidance makes one of two predictions from.

use std::fmt::Display;

use crate::error::SampleError;
use crate::place::Place;
use candle_core::Tensor;

/// As what a rule takes two predictions and answers with one, whatever the network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// As what the network predicts: for rules that are affine in both, which are the same in ε, v and x_0.
    Predicted,
    /// As v = √ᾱ ε - √(1-ᾱ) x_0.
    V,
    /// As x_0.
    X0,
}

/// Two predictions for some images, in the rule's [`Terms`].
#[derive(Debug, Clone, Copy)]
pub struct PredictionPair<'a> {
    /// p(x, c), (n, C, H, W).
    pub given: &'a Tensor,
    /// p(x, ∅), or whatever guidance leads away from, (n, C, H, W).
    pub free: &'a Tensor,
    /// w of each image, (n, 1, 1, 1); 1, where no guidance is asked for, with CFG++ alone.
    pub weights: &'a Tensor,
    /// Where on its way the trajectory is.
    pub place: Place,
    /// What the rule remembered of these images in the step before, (n, C, H, W).
    pub before: Option<&'a Tensor>,
}

/// What a rule answers.
pub(crate) struct Guided {
    /// The guided prediction, in the rule's terms.
    pub prediction: Tensor,
    /// What it will want to know in the next step.
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

    /// The rule of a text; none of another's, of none, and of settings out of range.
    fn read(text: &str) -> Option<Self>
    where
        Self: Sized;

    /// As what it takes predictions.
    fn terms(&self) -> Terms;

    /// Whether at w = 0 the free prediction is all that counts.
    fn is_free_at_zero(&self) -> bool {
        false
    }

    /// Whether a step depends on those before it.
    fn remembers(&self) -> bool {
        false
    }

    /// One prediction of two.
    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError>;
}
