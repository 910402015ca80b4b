//! How far a statistic would vary with other draws of the same images (Efron 1979).

use crate::error::EvalError;
use crate::quantile::{quantile, sorted};
use duet_random::Draws;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How many resamples, 2 or more; 1000 are usual for a level of 0.95.
    pub resamples: usize,
    /// Share of the resamples' statistics within the interval, between 0 and 1.
    pub level: f64,
    /// Resample b is a function of (seed, b, n).
    pub seed: u64,
}

/// An interval of a statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceInterval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Bootstrap {
    /// The percentile interval of a statistic of n ≥ 1 things, from the quantiles (1 ± level)/2 of
    /// its values for n indices in 0..n drawn with replacement (Efron 1979).
    ///
    /// An index comes more than once in most resamples. That suits means, accuracies and, nearly,
    /// the Fréchet distance; it does not suit what looks at nearest neighbours within the resampled
    /// set. Errors: settings out of range, n = 0, a value of NaN, the statistic's first error.
    pub fn interval(
        &self,
        n: usize,
        statistic: impl Fn(&[usize]) -> Result<f64, EvalError> + Sync,
    ) -> Result<ConfidenceInterval, EvalError> {
        self.of_resamples(
            n,
            |draws: &mut Draws| (0..n).map(|_| draws.below(n as u64) as usize).collect(),
            statistic,
        )
    }

    /// The same for things of several kinds, such as images of classes, of which each resample has as
    /// many as there are: thing i is of the kind `kinds[i]` (Efron & Tibshirani 1993, section 8.3).
    ///
    /// What varies from resample to resample is then the things and not how many there are of each.
    pub fn interval_of_kinds(
        &self,
        kinds: &[u32],
        statistic: impl Fn(&[usize]) -> Result<f64, EvalError> + Sync,
    ) -> Result<ConfidenceInterval, EvalError> {
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, &kind) in kinds.iter().enumerate() {
            members.entry(kind).or_default().push(i);
        }
        let resample = |draws: &mut Draws| {
            let of_kind = |kind| {
                let members: &Vec<usize> = &members[kind];
                members[draws.below(members.len() as u64) as usize]
            };
            kinds.iter().map(of_kind).collect()
        };
        self.of_resamples(kinds.len(), resample, statistic)
    }

    fn of_resamples(
        &self,
        n: usize,
        resample: impl Fn(&mut Draws) -> Vec<usize> + Sync,
        statistic: impl Fn(&[usize]) -> Result<f64, EvalError> + Sync,
    ) -> Result<ConfidenceInterval, EvalError> {
        self.check(n)?;
        let of_resample = |b: u64| {
            let value = statistic(&resample(&mut Draws::new(self.seed, "bootstrap", b)))?;
            match value.is_nan() {
                true => Err(EvalError::OutOfRange { name: "the statistic", value, range: "a number" }),
                false => Ok(value),
            }
        };
        // Collected before it is searched, so that the error reported is the first by index.
        let values: Vec<Result<f64, EvalError>> =
            (0..self.resamples as u64).into_par_iter().map(of_resample).collect();
        let values = sorted(values.into_iter().collect::<Result<Vec<f64>, EvalError>>()?);
        let tail = (1.0 - self.level) / 2.0;
        Ok(ConfidenceInterval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) })
    }

    fn check(&self, n: usize) -> Result<(), EvalError> {
        let refuse = |name, value, range| Err(EvalError::OutOfRange { name, value, range });
        if self.resamples < 2 {
            return refuse("resamples", self.resamples as f64, "2 or more");
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return refuse("level", self.level, "between 0 and 1");
        }
        match n {
            0 => Err(EvalError::TooFew { what: "a bootstrap", needed: 1, rows: 0 }),
            _ => Ok(()),
        }
    }
}
