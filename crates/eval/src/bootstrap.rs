//! The uncertainty of a statistic, from resamples of the same images (Efron 1979).

use crate::error::EvalError;
use crate::quantile::{quantile, sorted};
use duet_random::Draws;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The settings of the resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// The number of resamples, 2 or more; 1000 is usual for a level of 0.95.
    pub resamples: usize,
    /// The share of the resamples' statistics in the interval, between 0 and 1.
    pub level: f64,
    /// Resample b is a function of (seed, b, n).
    pub seed: u64,
}

/// A confidence interval of a statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceInterval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Bootstrap {
    /// The percentile interval of a statistic of n ≥ 1 things (Efron 1979). Each resample draws n indices
    /// in 0..n with replacement. The ends are the quantiles (1 ± level)/2 of the statistic's values.
    ///
    /// Most resamples contain an index more than once. This suits means, accuracies and, nearly, the
    /// Fréchet distance. It does not suit statistics of nearest neighbours inside the resampled set.
    /// Errors: settings out of range; n = 0; a value of NaN; the statistic's first error.
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

    /// As [`Bootstrap::interval`], for things of several kinds, such as images of classes. Thing i has the
    /// kind `kinds[i]`. Each resample has as many things of each kind as the original (Efron & Tibshirani
    /// 1993, section 8.3).
    ///
    /// The things vary from resample to resample, but not the number of each kind.
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
        // Collect all results first, so that the reported error is the first by index.
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
