//! Precision, recall, density, coverage and the nearest row.

use crate::common::{joined, mapped, normal, on_one_and_three_threads, relative, shifted, shuffled};
use duet_eval::{
    DensityCoverage, EvalError, Features, Manifold, PrecisionRecall, density_coverage, nearest,
    precision_recall,
};

fn precision_recall_of(real: &Features, samples: &Features) -> PrecisionRecall {
    precision_recall(&Manifold::new(real, 3).unwrap(), &Manifold::new(samples, 3).unwrap()).unwrap()
}

fn density_coverage_of(real: &Features, samples: &Features) -> DensityCoverage {
    density_coverage(&Manifold::new(real, 5).unwrap(), samples).unwrap()
}

fn line(values: &[f32]) -> Features {
    Features::new(values.to_vec(), 1).unwrap()
}

#[test]
fn identical_sets_have_everything() {
    for dims in [1, 7, 64, 300] {
        let set = normal(0, 80, dims);
        let found = precision_recall_of(&set, &set);
        assert_eq!(found, PrecisionRecall { precision: 1.0, recall: 1.0 });
        // Each row has its own ball and, on average, k others around it.
        let found = density_coverage_of(&set, &set);
        assert_eq!((relative(found.density, 1.2) < 1e-12, found.coverage), (true, 1.0));
    }
}

#[test]
fn a_case_on_a_line_is_as_counted_by_hand() {
    // Radii to the 1st neighbour: 1, 1, 3 and so balls [-1, 1], [0, 2], [1, 7].
    let real = line(&[0.0, 1.0, 4.0]);
    let manifold = Manifold::new(&real, 1).unwrap();
    let samples = line(&[-2.0, 0.5, 1.0, 2.5, 9.0]);
    assert_eq!(manifold.balls_around(&samples).unwrap(), [0, 2, 3, 1, 0]);
    assert_eq!(manifold.covered_by(&line(&[0.0, 9.0])).unwrap(), [true, true, false]);
    let found = density_coverage(&manifold, &samples).unwrap();
    assert_eq!(found, DensityCoverage { density: 6.0 / 5.0, coverage: 1.0 });
    // Radii of the samples: 2.5, 0.5, 0.5, 1.5, 6.5.
    let found = precision_recall(&manifold, &Manifold::new(&samples, 1).unwrap()).unwrap();
    assert_eq!(found, PrecisionRecall { precision: 3.0 / 5.0, recall: 1.0 });
}

#[test]
fn disjoint_clusters_have_nothing() {
    let (real, samples) = (normal(1, 100, 8), shifted(&normal(2, 100, 8), 100.0));
    assert_eq!(precision_recall_of(&real, &samples), PrecisionRecall { precision: 0.0, recall: 0.0 });
    assert_eq!(density_coverage_of(&real, &samples), DensityCoverage { density: 0.0, coverage: 0.0 });
}

#[test]
fn samples_like_the_real_images_have_the_expected_coverage() {
    // 1 - 2⁻ᵏ, more exactly 1 - Π (n - i)/(2n - i) over i = 1..k (Naeem et al. 2020, on its expectation).
    let found = density_coverage_of(&normal(3, 2000, 6), &normal(4, 2000, 6));
    assert!((found.coverage - (1.0 - 0.5f64.powi(5))).abs() < 0.015, "{found:?}");
    assert!((found.density - 1.0).abs() < 0.06, "{found:?}");
}

#[test]
fn dropping_a_mode_lowers_recall_and_coverage_but_not_precision() {
    let modes = |index| joined(&normal(index, 300, 4), &shifted(&normal(index + 1, 300, 4), 30.0));
    let (real, all) = (modes(10), modes(20));
    let one = normal(30, 600, 4);
    let (whole, dropped) = (precision_recall_of(&real, &all), precision_recall_of(&real, &one));
    assert!(dropped.recall < 0.51 && whole.recall > 0.9, "{whole:?} {dropped:?}");
    assert!((dropped.precision - whole.precision).abs() < 0.05, "{whole:?} {dropped:?}");
    let (whole, dropped) = (density_coverage_of(&real, &all), density_coverage_of(&real, &one));
    assert!(dropped.coverage < 0.51 && whole.coverage > 0.9, "{whole:?} {dropped:?}");
}

#[test]
fn samples_in_the_middle_of_the_crowd_have_a_density_above_one_and_lose_coverage() {
    let real = normal(40, 500, 8);
    let middle = mapped(&normal(41, 500, 8), |row| row.iter().map(|value| 0.3 * value).collect());
    let found = density_coverage_of(&real, &middle);
    assert!(found.density > 1.5 && found.coverage < 0.7, "{found:?}");
}

#[test]
fn one_far_sample_adds_to_recall_but_not_to_coverage() {
    let real = normal(42, 200, 4);
    let narrow = mapped(&normal(43, 200, 4), |row| row.iter().map(|value| 0.1 * value).collect());
    let far = joined(&narrow, &Features::new(vec![1000.0; 4], 4).unwrap());
    assert!(precision_recall_of(&real, &narrow).recall < 0.3);
    assert!(precision_recall_of(&real, &far).recall > 0.4);
    let (before, after) = (density_coverage_of(&real, &narrow), density_coverage_of(&real, &far));
    assert_eq!(before.coverage, after.coverage);
}

#[test]
fn the_nearest_row_is_the_first_of_the_nearest() {
    let set = line(&[5.0, 1.0, 3.0, 1.0]);
    let found = nearest(&line(&[1.0, 2.5, 4.0, 100.0]), &set).unwrap();
    let pairs: Vec<(usize, f64)> = found.iter().map(|near| (near.row, near.distance)).collect();
    assert_eq!(pairs, [(1, 0.0), (2, 0.5), (0, 1.0), (0, 95.0)]);
}

#[test]
fn distances_are_as_in_f64_for_every_length_of_row() {
    // Around the registers, the sums and the chunks that a row is cut into.
    for dims in [1, 3, 4, 15, 16, 17, 31, 63, 64, 65, 127, 255, 256, 257, 300, 512, 784, 3072] {
        let (a, b) = (normal(50, 3, dims), shifted(&normal(51, 1, dims), 2.0));
        for (row, found) in a.rows().zip(nearest(&a, &b).unwrap()) {
            let square = |(&x, &y): (&f32, &f32)| (f64::from(x) - f64::from(y)).powi(2);
            let expected = row.iter().zip(b.row(0)).map(square).sum::<f64>().sqrt();
            assert!(relative(found.distance, expected) < 1e-6, "{dims}: {found:?}, not {expected}");
        }
    }
}

#[test]
fn neither_threads_nor_the_order_of_rows_change_anything() {
    let (real, samples) = (normal(60, 150, 20), shifted(&normal(61, 130, 20), 0.1));
    let all = |real: &Features, samples: &Features| {
        Ok((precision_recall_of(real, samples), density_coverage_of(real, samples)))
    };
    let [one, three] = on_one_and_three_threads(|| all(&real, &samples));
    assert_eq!(one, three);
    assert_eq!(all(&shuffled(&real), &shuffled(&samples)).unwrap(), one);
    let [one, three] = on_one_and_three_threads(|| nearest(&samples, &real));
    assert_eq!(one, three);
}

#[test]
fn too_few_rows_and_unlike_rows_are_refused() {
    let set = normal(0, 5, 2);
    assert!(matches!(Manifold::new(&set, 5), Err(EvalError::TooFew { needed: 6, rows: 5, .. })));
    assert!(matches!(Manifold::new(&set, usize::MAX), Err(EvalError::TooFew { .. })));
    assert!(matches!(Manifold::new(&set, 0), Err(EvalError::OutOfRange { name: "k", .. })));
    let manifold = Manifold::new(&set, 4).unwrap();
    let other = normal(0, 5, 3);
    let unlike = EvalError::Dims { left: 3, right: 2 };
    assert_eq!(density_coverage(&manifold, &other), Err(unlike.clone()));
    assert_eq!(manifold.covered_by(&other), Err(unlike.clone()));
    assert_eq!(nearest(&other, &set), Err(unlike));
    assert!(precision_recall(&manifold, &Manifold::new(&other, 4).unwrap()).is_err());
}

#[test]
fn copies_of_one_row_have_balls_that_are_points() {
    let real = line(&[2.0; 6]);
    let manifold = Manifold::new(&real, 5).unwrap();
    assert_eq!(manifold.balls_around(&line(&[2.0, 2.0001])).unwrap(), [6, 0]);
}
