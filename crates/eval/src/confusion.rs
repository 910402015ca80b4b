//! Which class was asked for, and which one a classifier sees.

use crate::error::EvalError;
use std::collections::BTreeMap;

/// How often each class was answered where each was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: u32,
    counts: BTreeMap<(u32, u32), usize>,
}

/// Two classes of which the first was asked and the second answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confused {
    /// The class asked for.
    pub asked: u32,
    /// The other class that was answered.
    pub answered: u32,
    /// How often.
    pub count: usize,
}

impl Confusion {
    /// From the label asked for (n) and the one answered (n) of each of n ≥ 1 images, labels in
    /// 0..classes.
    ///
    /// Errors: lists of different lengths, empty ones, a label beyond the classes.
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

    /// How often `answered` came where `asked` was asked; 0 for labels beyond the classes.
    pub fn count(&self, asked: u32, answered: u32) -> usize {
        self.counts.get(&(asked, answered)).copied().unwrap_or(0)
    }

    /// Share of all images with the class that was asked, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        share(self.counts.iter()).unwrap_or(0.0)
    }

    /// The same among the images of one class; none where it was never asked.
    pub fn accuracy_of(&self, class: u32) -> Option<f64> {
        share(self.counts.range((class, 0)..=(class, u32::MAX)))
    }

    /// The pairs of different classes that occur, the most frequent first, then by label.
    pub fn most_confused(&self) -> Vec<Confused> {
        let wrong = self.counts.iter().filter(|((asked, answered), _)| asked != answered);
        let confused = wrong.map(|(&(asked, answered), &count)| Confused { asked, answered, count });
        let mut pairs: Vec<Confused> = confused.collect();
        // Stable: equal counts stay in the order of their labels.
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        pairs
    }
}

/// The share of right answers among some counts; none where there are no counts.
fn share<'a>(counts: impl Iterator<Item = (&'a (u32, u32), &'a usize)>) -> Option<f64> {
    let (right, all) = counts.fold((0, 0), |(right, all), ((asked, answered), count)| {
        (if asked == answered { right + count } else { right }, all + count)
    });
    (all > 0).then(|| right as f64 / all as f64)
}
