//! The bootstrap's intervals.

use crate::common::{normal, on_one_and_three_threads};
use duet_eval::{Bootstrap, EvalError, Gaussian, frechet_distance};

const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 400, level: 0.9, seed: 5 };

fn mean_of(values: &[f32], indices: &[usize]) -> f64 {
    indices.iter().map(|&i| f64::from(values[i])).sum::<f64>() / indices.len() as f64
}

#[test]
fn the_interval_of_a_mean_covers_the_truth_in_about_the_stated_share() {
    let covered = (0..400u64).filter(|&draw| {
        let set = normal(draw, 60, 1);
        let bootstrap = Bootstrap { seed: draw, ..BOOTSTRAP };
        let interval = bootstrap.interval(60, |indices| Ok(mean_of(set.values(), indices))).unwrap();
        interval.low <= 0.0 && 0.0 <= interval.high
    });
    // 360 of 400 with a standard error of 6; the percentile interval of 60 values is a little short.
    let covered = covered.count();
    assert!((335..380).contains(&covered), "{covered} of 400");
}

#[test]
fn a_higher_level_gives_a_wider_interval_around_the_estimate() {
    let set = normal(0, 100, 1);
    let all: Vec<usize> = (0..100).collect();
    let estimate = mean_of(set.values(), &all);
    let at = |level| {
        let bootstrap = Bootstrap { level, ..BOOTSTRAP };
        bootstrap.interval(100, |indices| Ok(mean_of(set.values(), indices))).unwrap()
    };
    let (narrow, wide) = (at(0.5), at(0.95));
    assert!(wide.low < narrow.low && narrow.low < estimate);
    assert!(estimate < narrow.high && narrow.high < wide.high);
}

#[test]
fn a_constant_statistic_has_an_interval_of_no_width() {
    let interval = BOOTSTRAP.interval(10, |_| Ok(0.25)).unwrap();
    assert_eq!((interval.low, interval.high), (0.25, 0.25));
}

#[test]
fn resamples_are_as_large_as_the_set_and_fixed_by_the_seed_whatever_the_threads() {
    let weighted = |indices: &[usize]| {
        assert!(indices.len() == 30 && indices.iter().all(|&i| i < 30));
        Ok(indices.iter().enumerate().map(|(place, &i)| (place * i) as f64).sum())
    };
    let [one, three] = on_one_and_three_threads(|| BOOTSTRAP.interval(30, weighted));
    assert_eq!(one, three);
    assert_ne!(Bootstrap { seed: 6, ..BOOTSTRAP }.interval(30, weighted).unwrap(), one);
}

#[test]
fn the_frechet_distance_of_a_refitted_resample_has_an_interval() {
    let (real, samples) = (Gaussian::fit(&normal(1, 500, 4)).unwrap(), normal(2, 200, 4));
    let bootstrap = Bootstrap { resamples: 50, ..BOOTSTRAP };
    let statistic = |indices: &[usize]| frechet_distance(&real, &Gaussian::fit(&samples.select(indices)?)?);
    let interval = bootstrap.interval(200, statistic).unwrap();
    assert!(0.0 < interval.low && interval.low < interval.high && interval.high < 0.5, "{interval:?}");
}

#[test]
fn settings_out_of_range_and_statistics_that_fail_are_refused() {
    let constant = |_: &[usize]| Ok(1.0);
    for level in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(Bootstrap { level, ..BOOTSTRAP }.interval(3, constant).is_err(), "{level}");
    }
    assert!(Bootstrap { resamples: 1, ..BOOTSTRAP }.interval(3, constant).is_err());
    assert!(BOOTSTRAP.interval(0, constant).is_err());
    assert!(BOOTSTRAP.interval(3, |_| Ok(f64::NAN)).is_err());
    let failure = EvalError::Dims { left: 1, right: 2 };
    assert_eq!(BOOTSTRAP.interval(3, |_| Err(failure.clone())), Err(failure.clone()));
}

/// In each of two kinds all things are alike, so that only the numbers of the kinds could vary.
#[test]
fn a_resample_has_as_many_of_each_kind() {
    let kinds: Vec<u32> = (0..60).map(|i| u32::from(i % 3 == 0)).collect();
    let share = |indices: &[usize]| {
        assert_eq!(indices.len(), kinds.len());
        Ok(indices.iter().filter(|&&i| kinds[i] == 1).count() as f64 / indices.len() as f64)
    };
    let of_kinds = BOOTSTRAP.interval_of_kinds(&kinds, share).unwrap();
    assert_eq!((of_kinds.low, of_kinds.high), (1.0 / 3.0, 1.0 / 3.0));
    let of_all = BOOTSTRAP.interval(kinds.len(), share).unwrap();
    assert!(of_all.low < 0.3 && of_all.high > 0.36, "{of_all:?}");
    // Inside a kind, each thing is drawn with the same probability.
    let first = |indices: &[usize]| Ok(indices.iter().filter(|&&i| i == 0).count() as f64);
    let drawn = BOOTSTRAP.interval_of_kinds(&kinds, first).unwrap();
    assert!(drawn.low == 0.0 && drawn.high >= 2.0, "{drawn:?}");
    assert!(BOOTSTRAP.interval_of_kinds(&[], first).is_err());
}
