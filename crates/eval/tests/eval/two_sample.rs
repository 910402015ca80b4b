//! The classifier two-sample test, and what two sets of one kind show.
use crate::common::{joined, normal, on_one_and_three_threads, shifted};
use duet_eval::*;

#[test]
fn a_shift_is_told_as_often_as_the_best_plane_tells_it() {
    // Two Gaussians at a distance of 2: the plane between them is right with probability Φ(1) = 0.8413.
    let (real, samples) = (normal(0, 1500, 4), shifted(&normal(1, 1500, 4), 1.0));
    let found = two_sample_test(&real, &samples, 0).unwrap();
    assert!((found.accuracy - 0.8413).abs() < 3.0 * found.error, "{found:?}");
    assert!((found.error - 0.0067).abs() < 0.0003 && found.images == 1500, "{found:?}");
    assert!(found.p_value < 1e-100, "{found:?}");
}

#[test]
fn p_is_below_a_tenth_for_about_a_tenth_of_the_sets_of_one_kind() {
    let p = |i: u64| two_sample_test(&normal(2 * i, 100, 6), &normal(2 * i + 1, 100, 6), i).unwrap();
    let found: Vec<TwoSample> = (0..200).map(p).collect();
    let low = found.iter().filter(|found| found.p_value < 0.1).count();
    assert!(low <= 36, "{low} of 200: four standard deviations above 20 are 37");
    let mean = found.iter().map(|found| found.accuracy).sum::<f64>() / 200.0;
    assert!((mean - 0.5).abs() < 0.01, "{mean}");
}

#[test]
fn of_many_samples_all_parts_count() {
    let real = normal(0, 200, 3);
    // Four parts of which every second sample is far away.
    let far = shifted(&normal(1, 400, 3), 20.0);
    let near = normal(2, 400, 3);
    let places: Vec<usize> = (0..800).map(|i| i / 2 + 400 * (i % 2)).collect();
    let mixed = joined(&far, &near).select(&places).unwrap();
    let found = two_sample_test(&real, &mixed, 0).unwrap();
    assert!(found.images == 200 && (found.accuracy - 0.75).abs() < 0.05, "{found:?}");
    let [one, three] = on_one_and_three_threads(|| two_sample_test(&real, &mixed, 0));
    assert_eq!(one, three);
    // Fewer samples than real images are told from as many of these.
    assert_eq!(two_sample_test(&mixed, &real, 0).unwrap().images, 200);
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    assert!(matches!(two_sample_test(&normal(0, 20, 2), &normal(0, 20, 3), 0), Err(EvalError::Dims { .. })));
    assert!(two_sample_test(&normal(0, 9, 2), &normal(0, 20, 2), 0).is_err());
    assert!(two_sample_test(&normal(0, 20, 2), &normal(0, 9, 2), 0).is_err());
    assert!(Logistic::fit(&normal(0, 4, 2), &[true; 3], 1.0).is_err());
    assert!(Logistic::fit(&normal(0, 4, 2), &[true; 4], 0.0).is_err());
}

#[test]
fn the_interval_of_the_kernel_distance_holds_that_of_other_draws() {
    let draw = |i: u64| (normal(2 * i, 150, 4), shifted(&normal(2 * i + 1, 100, 4), 0.5));
    let kinds = (&[0; 150][..], &[0; 100][..]);
    let bootstrap = Bootstrap { resamples: 200, level: 0.95, seed: 0 };
    let others: Vec<f64> = (1..=200).map(draw).map(|(a, b)| kernel_distance(&a, &b).unwrap()).collect();
    let truth = others.iter().sum::<f64>() / 200.0;
    let spread = (others.iter().map(|x| (x - truth).powi(2)).sum::<f64>() / 199.0).sqrt();
    let intervals: Vec<ConfidenceInterval> = (201..301)
        .map(draw)
        .map(|(a, b)| KernelDistance::new(&a, &b).unwrap().interval(kinds, bootstrap).unwrap())
        .collect();
    let holding = intervals.iter().filter(|interval| interval.low < truth && truth < interval.high).count();
    assert!((86..=100).contains(&holding), "{holding} of 100");
    let width = intervals.iter().map(|interval| interval.high - interval.low).sum::<f64>() / 100.0;
    assert!((width / (2.0 * 1.96 * spread) - 1.0).abs() < 0.15, "{width} for {spread}");
    assert!(KernelDistance::new(&draw(0).0, &draw(0).1).unwrap().interval((&[0], &[0]), bootstrap).is_err());
}

#[test]
fn clipped_density_and_coverage_are_the_share_of_good_samples() {
    let real = normal(0, 1000, 4);
    for bad in [0, 200, 500] {
        let samples = joined(&normal(1, 1001 - bad, 4), &shifted(&normal(2, bad + 1, 4), 50.0));
        let found = clipped_density_coverage(&Manifold::new(&real, 5).unwrap(), &samples).unwrap();
        let good = 1.0 - bad as f64 / 1000.0;
        assert!((found.density - good).abs() < 0.04, "{bad}: {found:?}");
        assert!((found.coverage - good).abs() < 0.06, "{bad}: {found:?}");
    }
}

#[test]
fn closeness_is_each_metric_by_itself() {
    let (real, samples) = (normal(0, 60, 3), shifted(&normal(1, 50, 3), 0.3));
    let found = Closeness::new(&real, &samples).unwrap();
    assert_eq!(found.kernel_distance, kernel_distance(&real, &samples).unwrap());
    let balls = Manifold::new(&real, DENSITY_COVERAGE_K).unwrap();
    let clipped = clipped_density_coverage(&balls, &samples).unwrap();
    assert_eq!((found.clipped_density, found.clipped_coverage), (clipped.density, clipped.coverage));
    assert_eq!(found.density, density_coverage(&balls, &samples).unwrap().density);
    let doubled = Closeness { frechet: 3.0 * found.frechet, ..found };
    let mean = Closeness::mean(&[found, doubled]).unwrap();
    assert!((mean.frechet / found.frechet - 2.0).abs() < 1e-12 && mean.recall == found.recall);
    assert_eq!(Closeness::mean(&[]), None);
}
