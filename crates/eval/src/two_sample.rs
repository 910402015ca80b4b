//! The classifier two-sample test (Lopez-Paz & Oquab 2017).

use crate::error::EvalError;
use crate::features::{Features, check_dims, check_rows};
use crate::logistic::Logistic;
use duet_random::Draws;
use rayon::prelude::*;

/// Each image is held out once, in one of so many parts.
const FOLDS: usize = 5;
/// Of the regression, on features of variance 1.
const RIDGE: f64 = 0.01;
/// More parts of many samples are not looked at.
const MOST_PARTS: usize = 5;

/// How well a classifier tells real images from samples, on images that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoSample {
    /// The share of right answers, about 0.5 for samples that nothing gives away, 1 for those that are all told apart.
    pub accuracy: f64,
    /// Its standard error, that of one part.
    pub error: f64,
    /// How probable such an accuracy is, or a higher one, of samples like the real images (binomial, one part).
    pub p_value: f64,
    /// Images of each kind in a part.
    pub images: usize,
}

/// The accuracy of telling `real` (n, d) from `samples` (m, d) by logistic regression, in five-fold cross-validation
/// with as many images of either kind (Lopez-Paz & Oquab 2017, section 3).
///
/// Of more than n samples, up to five parts of n are each told from the real images, and the mean is
/// taken. Errors of the parts are not independent, so the standard error and p are those of one part: a little too
/// large. A plane in these features has to tell the kinds apart; what no plane shows is not seen.
/// Errors: rows of different lengths; fewer than 10 rows.
pub fn two_sample_test(real: &Features, samples: &Features, seed: u64) -> Result<TwoSample, EvalError> {
    check_dims(real, samples)?;
    check_rows(real, "the two-sample test", 2 * FOLDS)?;
    check_rows(samples, "the two-sample test", 2 * FOLDS)?;
    let images = real.len().min(samples.len());
    let parts = (samples.len() / images).min(MOST_PARTS);
    let (real_order, order) = (drawn_order(real, seed, 0), drawn_order(samples, seed, 1));
    let real = real.select(&real_order[..images])?;
    let accuracy = |part: usize| {
        let part = samples.select(&order[part * images..][..images])?;
        held_out_accuracy(&real, &part, seed)
    };
    let accuracies = (0..parts).map(accuracy).collect::<Result<Vec<f64>, EvalError>>()?;
    let accuracy = accuracies.iter().sum::<f64>() / parts as f64;
    let tested = 2 * images;
    let right = (accuracy * tested as f64).round() as usize;
    Ok(TwoSample {
        accuracy,
        error: (accuracy * (1.0 - accuracy) / tested as f64).sqrt(),
        p_value: binomial_tail(tested, right),
        images,
    })
}

fn drawn_order(rows: &Features, seed: u64, set: u64) -> Vec<usize> {
    let order = Draws::new(seed, "two-sample parts", set).permutation(rows.len() as u32);
    order.into_iter().map(|i| i as usize).collect()
}

/// The share of rows on the right side of the plane that the other folds give.
fn held_out_accuracy(real: &Features, samples: &Features, seed: u64) -> Result<f64, EvalError> {
    let n = real.len();
    let values = [real.values(), samples.values()].concat();
    let rows = standardised(&Features::new(values, real.dims())?)?;
    let place = Draws::new(seed, "two-sample folds", 0).permutation(n as u32);
    // Row i of the samples is in the fold of row i of the real images, so that folds have as many of either.
    let fold = |i: usize| place[i % n] as usize % FOLDS;
    let right = |held_out: usize| {
        let (test, train): (Vec<usize>, Vec<usize>) = (0..2 * n).partition(|&i| fold(i) == held_out);
        let drawn: Vec<bool> = train.iter().map(|&i| i >= n).collect();
        let plane = Logistic::fit(&rows.select(&train)?, &drawn, RIDGE)?;
        Ok(test.iter().filter(|&&i| (plane.score(rows.row(i)) > 0.0) == (i >= n)).count())
    };
    let counts: Vec<Result<usize, EvalError>> = (0..FOLDS).into_par_iter().map(right).collect();
    Ok(counts.into_iter().sum::<Result<usize, EvalError>>()? as f64 / (2 * n) as f64)
}

/// Rows whose features have mean 0 and variance 1; a feature that never varies is 0.
fn standardised(rows: &Features) -> Result<Features, EvalError> {
    let (n, d) = (rows.len() as f64, rows.dims());
    let (mut means, mut variances) = (vec![0.0; d], vec![0.0; d]);
    for row in rows.rows() {
        means.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / n);
    }
    for row in rows.rows() {
        for ((variance, &x), mean) in variances.iter_mut().zip(row).zip(&means) {
            *variance += (f64::from(x) - mean).powi(2) / n;
        }
    }
    let scaled = rows.rows().flat_map(|row| {
        row.iter().zip(&means).zip(&variances).map(|((&x, mean), &variance)| {
            if variance > 0.0 { ((f64::from(x) - mean) / variance.sqrt()) as f32 } else { 0.0 }
        })
    });
    Features::new(scaled.collect(), d)
}

/// The probability of `right` or more of `of` fair coins.
fn binomial_tail(of: usize, right: usize) -> f64 {
    let mut log_factorials = vec![0.0f64; of + 1];
    (1..=of).for_each(|i| log_factorials[i] = log_factorials[i - 1] + (i as f64).ln());
    let log_choose = |k: usize| log_factorials[of] - log_factorials[k] - log_factorials[of - k];
    let probability = |k| (log_choose(k) - of as f64 * std::f64::consts::LN_2).exp();
    (right..=of).map(probability).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_fair_coins() {
        assert!((binomial_tail(4, 3) - 5.0 / 16.0).abs() < 1e-12);
        assert!((binomial_tail(4, 0) - 1.0).abs() < 1e-12);
        // scipy.stats.binom.sf(2099, 4000, 0.5)
        assert!(
            (binomial_tail(4000, 2100) / 8.246331876e-4 - 1.0).abs() < 1e-8,
            "{}",
            binomial_tail(4000, 2100)
        );
    }
}
