//! A rule of guidance from outside this crate.

use std::fmt;
use std::sync::Arc;

use crate::error::SampleError;
use crate::rule::pair::{Combine, Guided, PredictionPair, Terms};
use candle_core::Tensor;

type Function = dyn Fn(PredictionPair<'_>) -> Result<Tensor, SampleError> + Send + Sync;

/// Your own rule: see [`Rule::custom`](crate::Rule::custom).
///
/// Two rules are equal if their names and terms are equal. The text `custom:NAME` is only for display;
/// nothing reads it.
#[derive(Clone)]
pub struct Custom {
    name: Arc<str>,
    terms: Terms,
    function: Arc<Function>,
}

impl Custom {
    pub(crate) fn new(
        name: &str,
        terms: Terms,
        function: impl Fn(PredictionPair<'_>) -> Result<Tensor, SampleError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), terms, function: Arc::new(function) }
    }
}

impl Combine for Custom {
    fn texts() -> &'static str {
        ""
    }

    fn read(_: &str) -> Option<Self> {
        None
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError> {
        let answer = (self.function)(pair)?;
        match answer.dims() == pair.given.dims() {
            true => Ok(answer.into()),
            false => {
                let (got, expected) = (answer.dims(), pair.given.dims());
                Err(SampleError::Setting(format!("the rule {self} answered {got:?} to {expected:?}")))
            }
        }
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.terms) == (&other.name, other.terms)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).field("terms", &self.terms).finish()
    }
}

impl fmt::Display for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "custom:{}", self.name)
    }
}
