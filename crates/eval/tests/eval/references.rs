//! Every metric against numpy, scipy, scikit-learn and prdc.
//!
//! `../references/references.json` is made by `../references/make_references.py`; the sets are drawn here
//! and there by the same formula in integers.

use crate::common::relative;
use duet_eval::*;
use serde_json::Value;

/// A hash of 32-bit integers.
fn mixed(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    let x = (x ^ (x >> 15)).wrapping_mul(0x735a_2d97);
    x ^ (x >> 15)
}

/// The script's `drawn`.
fn drawn(seed: u32, rows: usize, dims: usize, (scale, shift): (i64, i64)) -> Features {
    let start = seed.wrapping_mul(100_000_007);
    let sums: Vec<i64> = (0..(rows * dims) as u32)
        .map(|i| {
            (0..4).map(|part| i64::from(mixed((i * 8 + part).wrapping_add(start)) >> 20)).sum::<i64>() - 8190
        })
        .collect();
    let correlated =
        |i: usize| if i.is_multiple_of(dims) { sums[i] } else { sums[i] + sums[i - 1].div_euclid(2) };
    let values = (0..sums.len()).map(|i| (correlated(i) * scale + shift) as f32 / 4096.0).collect();
    Features::new(values, dims).unwrap()
}

struct Case {
    json: Value,
    real: Features,
    samples: Features,
}

impl Case {
    fn number(&self, key: &str) -> f64 {
        self.json[key].as_f64().unwrap()
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        self.json[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../references/references.json")).unwrap();
    assert_eq!(cases.len(), 7);
    let case = |json: Value| {
        let integer = |key: &str| json[key].as_i64().unwrap();
        let (seed, dims) = (integer("seed") as u32, integer("dims") as usize);
        let real = drawn(2 * seed, integer("real") as usize, dims, (1, 0));
        let form = (integer("scale"), integer("shift"));
        let samples = drawn(2 * seed + 1, integer("samples") as usize, dims, form);
        Case { json, real, samples }
    };
    cases.into_iter().map(case).collect()
}

#[test]
fn the_sets_drawn_here_are_the_ones_drawn_there() {
    for case in cases() {
        let shown = case.real.dims().min(4);
        let last = case.samples.values();
        let (first, last) = (&case.real.values()[..shown], &last[last.len() - shown..]);
        assert!(first.iter().map(|&x| f64::from(x)).eq(case.numbers("first")));
        assert!(last.iter().map(|&x| f64::from(x)).eq(case.numbers("last")));
    }
}

#[test]
fn the_frechet_distance_is_scipys() {
    for case in cases() {
        let (real, samples) = (Gaussian::fit(&case.real).unwrap(), Gaussian::fit(&case.samples).unwrap());
        let found = frechet_distance(&real, &samples).unwrap();
        assert!(relative(found, case.number("frechet")) < 1e-11, "{}: {found}", case.json);
        // scipy's root of a product without full rank is good to half the digits.
        assert!(relative(found, case.number("frechet_by_sqrtm")) < 1e-7, "{}: {found}", case.json);
    }
}

#[test]
fn the_kernel_distance_is_scikit_learns() {
    for case in cases() {
        let found = kernel_distance(&case.real, &case.samples).unwrap();
        let expected = case.number("kernel_distance");
        assert!((found - expected).abs() < 1e-7 * expected.abs().max(1.0), "{}: {found}", case.json);
    }
}

#[test]
fn precision_recall_density_and_coverage_are_those_of_prdc() {
    for case in cases() {
        let manifolds = (Manifold::new(&case.real, 3).unwrap(), Manifold::new(&case.samples, 3).unwrap());
        let found = precision_recall(&manifolds.0, &manifolds.1).unwrap();
        assert!((found.precision - case.number("precision")).abs() < 1e-12, "{}: {found:?}", case.json);
        assert!((found.recall - case.number("recall")).abs() < 1e-12, "{}: {found:?}", case.json);
        let found = density_coverage(&Manifold::new(&case.real, 5).unwrap(), &case.samples).unwrap();
        assert!((found.density - case.number("density")).abs() < 1e-12, "{}: {found:?}", case.json);
        assert!((found.coverage - case.number("coverage")).abs() < 1e-12, "{}: {found:?}", case.json);
    }
}

#[test]
fn the_nearest_rows_are_scikit_learns() {
    for case in cases() {
        let found = nearest(&case.samples, &case.real).unwrap();
        let (rows, distances) = (case.numbers("nearest_rows"), case.numbers("nearest_distances"));
        assert_eq!(rows.len(), 20);
        for ((found, row), distance) in found.iter().zip(rows).zip(distances) {
            assert_eq!(found.row as f64, row, "{}", case.json);
            assert!((found.distance - distance).abs() < 1e-5 * distance.max(1e-3), "{found:?} {distance}");
        }
    }
}

#[test]
fn clipped_density_and_coverage_are_those_of_the_paper_s_formulas() {
    for case in cases() {
        let found = clipped_density_coverage(&Manifold::new(&case.real, 5).unwrap(), &case.samples).unwrap();
        let expected = case.numbers("clipped");
        assert!((found.density - expected[0]).abs() < 1e-12, "{}: {found:?}", case.json);
        assert!((found.coverage - expected[1]).abs() < 1e-12, "{}: {found:?}", case.json);
    }
}

#[test]
fn the_plane_between_two_sets_is_scikit_learns() {
    for case in cases() {
        let rows = crate::common::joined(&case.real, &case.samples);
        let drawn: Vec<bool> = (0..rows.len()).map(|i| i >= case.real.len()).collect();
        let found = Logistic::fit(&rows, &drawn, 0.01).unwrap();
        let expected = case.numbers("logistic");
        let ours = found.weights.iter().take(8).chain([&found.intercept]);
        let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        for (ours, theirs) in ours.zip(&expected) {
            assert!((ours - theirs).abs() < 1e-4 * largest, "{}: {ours} {theirs}", case.json["seed"]);
        }
        assert_eq!(expected.len(), found.weights.len().min(8) + 1);
    }
}
