//! The kernel distance: unbiased, and the same however it is computed.

use crate::common::{normal, on_one_and_three_threads, relative, shifted, shuffled};
use duet_eval::{EvalError, Features, kernel_distance};

/// The definition, in f64 and in order.
fn by_definition(a: &Features, b: &Features) -> f64 {
    let kernel = |x: &[f32], y: &[f32]| {
        let dot: f64 = x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        (dot / x.len() as f64 + 1.0).powi(3)
    };
    let all = |a: &Features, b: &Features| -> f64 {
        a.rows().flat_map(|x| b.rows().map(move |y| kernel(x, y))).sum()
    };
    let own = |set: &Features| {
        let n = set.len() as f64;
        (all(set, set) - set.rows().map(|x| kernel(x, x)).sum::<f64>()) / (n * (n - 1.0))
    };
    own(a) + own(b) - 2.0 * all(a, b) / (a.len() * b.len()) as f64
}

#[test]
fn it_is_its_definition() {
    for (rows, others, dims) in [(2, 3, 1), (17, 33, 5), (50, 40, 64), (20, 90, 300), (65, 16, 257)] {
        let (a, b) = (normal(0, rows, dims), shifted(&normal(1, others, dims), 0.4));
        let (found, expected) = (kernel_distance(&a, &b).unwrap(), by_definition(&a, &b));
        assert!(relative(found, expected) < 1e-5, "{rows} {others} {dims}: {found} {expected}");
    }
}

#[test]
fn a_constant_shift_has_its_closed_form() {
    // All rows of a at (1, 1), all of b at (2, 2): kernels 8, 125 and 27.
    let at = |value: f32| Features::new(vec![value; 10], 2).unwrap();
    assert_eq!(kernel_distance(&at(1.0), &at(2.0)).unwrap(), 8.0 + 125.0 - 2.0 * 27.0);
    assert_eq!(kernel_distance(&at(1.0), &at(1.0)).unwrap(), 0.0);
}

#[test]
fn sets_of_one_distribution_are_at_distance_zero_on_average_whatever_their_size() {
    for rows in [5, 20] {
        let draws = 400u64;
        let values: Vec<f64> = (0..draws)
            .map(|i| kernel_distance(&normal(2 * i, rows, 4), &normal(2 * i + 1, 2 * rows, 4)).unwrap())
            .collect();
        let mean = values.iter().sum::<f64>() / draws as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / draws as f64;
        let error = (variance / draws as f64).sqrt();
        assert!(mean.abs() < 4.0 * error, "{rows} rows: {mean} ± {error}");
        let negative = values.iter().filter(|&&value| value < 0.0).count();
        assert!((100..350).contains(&negative), "{rows} rows: {negative} of {draws} are negative");
    }
}

#[test]
fn a_set_is_below_zero_from_itself_as_its_own_pairs_count_across() {
    // The diagonal is among the pairs across, and left out of those within.
    let set = normal(3, 100, 16);
    let distance = kernel_distance(&set, &set).unwrap();
    assert!((-1.0..0.0).contains(&distance), "{distance}");
}

#[test]
fn neither_threads_nor_the_order_of_rows_change_it() {
    let (a, b) = (normal(4, 70, 20), shifted(&normal(5, 90, 20), 0.2));
    let [one, three] = on_one_and_three_threads(|| kernel_distance(&a, &b));
    assert_eq!(one, three);
    assert!(relative(kernel_distance(&shuffled(&a), &b).unwrap(), one) < 1e-10);
    assert!(relative(kernel_distance(&b, &a).unwrap(), one) < 1e-10);
}

#[test]
fn sets_that_do_not_compare_are_refused() {
    assert_eq!(
        kernel_distance(&normal(0, 3, 2), &normal(0, 3, 3)),
        Err(EvalError::Dims { left: 2, right: 3 })
    );
    assert!(kernel_distance(&normal(0, 1, 2), &normal(0, 3, 2)).is_err());
    assert!(kernel_distance(&normal(0, 3, 2), &normal(0, 1, 2)).is_err());
}
