//! The Fréchet distance against closed forms.

use crate::common::{mapped, normal, relative, shifted, shuffled};
use duet_eval::{EvalError, Features, Gaussian, frechet_distance};
use proptest::prelude::*;

fn distance(a: &Features, b: &Features) -> f64 {
    frechet_distance(&Gaussian::fit(a).unwrap(), &Gaussian::fit(b).unwrap()).unwrap()
}

fn trace(features: &Features) -> f64 {
    let d = features.dims();
    Gaussian::fit(features).unwrap().covariance().iter().step_by(d + 1).sum()
}

/// Features of scales 0.6⁰, 0.6¹, ..., as a network's are.
fn decaying(index: u64, rows: usize, dims: usize) -> Features {
    mapped(&normal(index, rows, dims), |row| {
        row.iter().enumerate().map(|(j, value)| value * 0.6f32.powi(j as i32)).collect()
    })
}

/// Two neighbouring features turned by an angle, for every pair of neighbours in turn.
fn rotated(features: &Features, angle: f64) -> Features {
    mapped(features, |row| {
        let mut row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
        for j in 1..row.len() {
            let (x, y) = (row[j - 1], row[j]);
            row[j - 1] = angle.cos() * x - angle.sin() * y;
            row[j] = angle.sin() * x + angle.cos() * y;
        }
        row.into_iter().map(|value| value as f32).collect()
    })
}

#[test]
fn a_set_is_at_no_distance_from_itself() {
    // More rows than features, as many, fewer, two.
    for (rows, dims) in [(300, 32), (32, 32), (20, 64), (2, 64), (50, 1)] {
        for set in [normal(0, rows, dims), decaying(0, rows, dims)] {
            let relative = distance(&set, &set) / trace(&set);
            assert!(relative < 1e-12, "{rows} x {dims}: {relative:e}");
        }
    }
}

#[test]
fn mean_and_covariance_are_those_of_two_lines_of_arithmetic() {
    let gaussian = Gaussian::fit(&Features::new(vec![1.0, 0.0, 3.0, 2.0, 5.0, -2.0], 2).unwrap()).unwrap();
    assert_eq!(gaussian.mean(), [3.0, 0.0]);
    assert_eq!(gaussian.covariance(), [4.0, -2.0, -2.0, 4.0]);
}

#[test]
fn a_shift_counts_its_square() {
    for (rows, dims) in [(400, 16), (10, 16)] {
        let set = normal(1, rows, dims);
        let expected = 0.25 * dims as f64;
        assert!(relative(distance(&set, &shifted(&set, 0.5)), expected) < 1e-6);
    }
}

#[test]
fn a_scale_counts_the_square_of_the_change_of_each_deviation() {
    // S_2 = D S D with a diagonal D commutes with S only where S is diagonal; a common factor always.
    for (rows, dims) in [(400, 16), (10, 16)] {
        let set = normal(2, rows, dims);
        let scaled = mapped(&set, |row| row.iter().map(|value| 3.0 * value).collect());
        let means: f64 = Gaussian::fit(&set).unwrap().mean().iter().map(|mean| (2.0 * mean).powi(2)).sum();
        assert!(relative(distance(&set, &scaled), 4.0 * trace(&set) + means) < 1e-6);
    }
}

#[test]
fn uncorrelated_features_add_up() {
    // Rows ±s_j e_j have mean 0 and covariance diag(2 s_j²/(n - 1)).
    let set = |scales: [f32; 3]| {
        let rows = (0..6)
            .flat_map(|i| (0..3).map(move |j| if i / 2 == j { scales[j] * [1.0, -1.0][i % 2] } else { 0.0 }));
        Features::new(rows.collect(), 3).unwrap()
    };
    let (a, b): ([f32; 3], [f32; 3]) = ([1.0, 2.0, 0.0], [3.0, 0.5, 4.0]);
    let expected: f64 = a.iter().zip(b).map(|(a, b)| 0.4 * f64::from(a - b).powi(2)).sum();
    assert!(relative(distance(&set(a), &set(b)), expected) < 1e-12);
}

#[test]
fn correlated_gaussians_in_the_plane_have_their_closed_form() {
    // In two dimensions tr M^{1/2} = √(tr M + 2 √det M), for M = S_1 S_2.
    let (a, b) = (rotated(&decaying(3, 500, 2), 0.5), rotated(&decaying(4, 700, 2), -0.9));
    let (p, q) = (Gaussian::fit(&a).unwrap(), Gaussian::fit(&b).unwrap());
    let (s, t) = (p.covariance(), q.covariance());
    let trace_of_product = s[0] * t[0] + 2.0 * s[1] * t[1] + s[3] * t[3];
    let determinant = (s[0] * s[3] - s[1] * s[1]) * (t[0] * t[3] - t[1] * t[1]);
    let means: f64 = p.mean().iter().zip(q.mean()).map(|(a, b)| (a - b).powi(2)).sum();
    let root = (trace_of_product + 2.0 * determinant.sqrt()).sqrt();
    let expected = means + s[0] + s[3] + t[0] + t[3] - 2.0 * root;
    assert!(s[1].abs() > 0.05 && t[1].abs() > 0.05);
    assert!(relative(distance(&a, &b), expected) < 1e-12);
}

#[test]
fn a_rotation_of_both_sets_changes_nothing() {
    let (a, b) = (decaying(5, 200, 12), shifted(&normal(6, 200, 12), 0.3));
    let turned = distance(&rotated(&a, 0.7), &rotated(&b, 0.7));
    assert!(relative(turned, distance(&a, &b)) < 1e-6);
}

#[test]
fn the_order_of_sets_and_of_rows_changes_nothing() {
    let (a, b) = (decaying(7, 100, 40), normal(8, 30, 40));
    let forth = distance(&a, &b);
    assert!(relative(distance(&b, &a), forth) < 1e-12);
    assert!(relative(distance(&shuffled(&a), &b), forth) < 1e-12);
}

#[test]
fn sets_that_do_not_compare_are_refused() {
    let error = frechet_distance(
        &Gaussian::fit(&normal(0, 9, 3)).unwrap(),
        &Gaussian::fit(&normal(0, 9, 4)).unwrap(),
    );
    assert_eq!(error, Err(EvalError::Dims { left: 3, right: 4 }));
    assert!(matches!(Gaussian::fit(&normal(0, 1, 3)), Err(EvalError::TooFew { needed: 2, rows: 1, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_size_rank_or_scale_gives_a_nan(
        (rows, others, dims) in (2_usize..40, 2_usize..40, 1_usize..40),
        (seed, repeated) in (0_u64..1000, 1_usize..6),
        scale in prop::sample::select(vec![1e-20f32, 1e-6, 1.0, 1e6, 1e14]),
    ) {
        // Repeated rows and constant features lower the rank further.
        let a = mapped(&normal(seed, rows, dims), |row| row.iter().map(|x| x * scale).collect());
        let a = a.select(&(0..rows).map(|i| i / repeated).collect::<Vec<_>>()).unwrap();
        let b = mapped(&normal(seed + 1, others, dims), |row| {
            row.iter().enumerate().map(|(j, x)| if j % 2 == 0 { x * scale } else { scale }).collect()
        });
        let (forth, back) = (distance(&a, &b), distance(&b, &a));
        prop_assert!(forth.is_finite() && forth >= 0.0);
        let total = trace(&a) + trace(&b);
        prop_assert!((forth - back).abs() <= 1e-12 * (total + forth));
        prop_assert!(distance(&a, &a) <= 1e-12 * trace(&a));
    }
}
