//! Which values are a set of features, and which are refused.

use duet_eval::{EvalError, Features, LARGEST_FEATURE};

#[test]
fn values_that_make_no_rows_are_refused() {
    for (values, dims) in [(0, 3), (4, 3), (4, 0), (0, 0)] {
        assert_eq!(Features::new(vec![0.0; values], dims), Err(EvalError::Shape { values, dims }));
    }
}

#[test]
fn a_value_that_cannot_be_squared_is_named() {
    for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1.1 * LARGEST_FEATURE] {
        let error = Features::new(vec![0.0, 1.0, 2.0, 3.0, bad, 5.0], 3).unwrap_err();
        assert!(matches!(error, EvalError::Feature { row: 1, column: 1, .. }), "{error}");
    }
    Features::new(vec![LARGEST_FEATURE, -LARGEST_FEATURE, 0.0], 3).unwrap();
}

#[test]
fn rows_are_selected_in_the_order_asked_and_more_than_once() {
    let features = Features::new((0..6u8).map(f32::from).collect(), 2).unwrap();
    let selected = features.select(&[2, 0, 2]).unwrap();
    assert_eq!(selected.values(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
    assert_eq!(selected.rows().nth(1), Some(features.row(0)));
    assert_eq!(features.select(&[0, 3]), Err(EvalError::Row { row: 3, rows: 3 }));
    assert!(features.select(&[]).is_err());
}

#[test]
fn the_rows_of_a_class_are_those_with_its_label() {
    let features = Features::new((0..4u8).map(f32::from).collect(), 1).unwrap();
    assert_eq!(features.of_class(&[7, 3, 7, 1], 7).unwrap().values(), [0.0, 2.0]);
    assert!(features.of_class(&[7, 3, 7, 1], 2).is_err());
    assert!(features.of_class(&[7, 3, 7], 7).is_err());
}
