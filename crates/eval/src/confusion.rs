//! The requested class of each image against the class that a classifier sees.

use crate::error::EvalError;
use std::collections::BTreeMap;

/// The counts of each pair (requested class, answered class).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: u32,
    counts: BTreeMap<(u32, u32), usize>,
}

/// A requested class that was answered with another class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confused {
    /// The requested class.
    pub asked: u32,
    /// The answered class, which is a different one.
    pub answered: u32,
    /// How often.
    pub count: usize,
}

impl Confusion {
    /// Counts the pairs of n ≥ 1 images: the requested labels (n) and the answered labels (n), in
    /// 0..classes.
    ///
    /// Errors: lists of different lengths; empty lists; a label beyond the classes.
    pub fn new(asked: &[u32], answered: &[u32], classes: u32) -> Result<Self, EvalError> {
        if asked.len() != answered.len() {
            let (left, right) = (answered.len(), asked.len());
            return Err(EvalError::Counts { what: "answers", left, right });
        }
        if asked.is_empty() {
            return Err(EvalError::TooFew { what: "a confusion matrix", needed: 1, rows: 0 });
        }
        let mut counts = BTreeMap::new();
        for (place, pair) in asked.iter().copied().zip(answered.iter().copied()).enumerate() {
            let label = pair.0.max(pair.1);
            if label >= classes {
                return Err(EvalError::Label { place, label, classes });
            }
            *counts.entry(pair).or_insert(0) += 1;
        }
        Ok(Self { classes, counts })
    }

    /// How many classes there are.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// How often `asked` was answered with `answered`; 0 for labels beyond the classes.
    pub fn count(&self, asked: u32, answered: u32) -> usize {
        self.counts.get(&(asked, answered)).copied().unwrap_or(0)
    }

    /// The share of all images with the requested class, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        share(self.counts.iter()).unwrap_or(0.0)
    }

    /// This share among the images of one requested class; none if it was never requested.
    pub fn accuracy_of(&self, class: u32) -> Option<f64> {
        share(self.counts.range((class, 0)..=(class, u32::MAX)))
    }

    /// The pairs of different classes that occur, the most frequent first; equal counts in the order of
    /// labels.
    pub fn most_confused(&self) -> Vec<Confused> {
        let wrong = self.counts.iter().filter(|((asked, answered), _)| asked != answered);
        let confused = wrong.map(|(&(asked, answered), &count)| Confused { asked, answered, count });
        let mut pairs: Vec<Confused> = confused.collect();
        // The sort is stable: equal counts stay in the order of their labels.
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs
    }
}

/// The share of right answers among some counts; none if there are no counts.
fn share<'a>(counts: impl Iterator<Item = (&'a (u32, u32), &'a usize)>) -> Option<f64> {
    let (right, all) = counts.fold((0, 0), |(right, all), ((asked, answered), count)| {
        (if asked == answered { right + count } else { right }, all + count)
    });
    (all > 0).then(|| right as f64 / all as f64)
}
