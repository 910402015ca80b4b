//! The requested class against the answered class.

use duet_eval::{Confused, Confusion, EvalError};
use duet_random::Draws;

#[test]
fn a_small_case_is_as_counted_by_hand() {
    let confusion = Confusion::new(&[0, 0, 0, 1, 1, 2, 2, 2], &[0, 1, 1, 1, 0, 2, 0, 0], 4).unwrap();
    assert_eq!(confusion.accuracy(), 3.0 / 8.0);
    let by_class: Vec<Option<f64>> = (0..5).map(|class| confusion.accuracy_of(class)).collect();
    assert_eq!(by_class, [Some(1.0 / 3.0), Some(0.5), Some(1.0 / 3.0), None, None]);
    assert_eq!((confusion.count(0, 1), confusion.count(1, 2), confusion.count(9, 9)), (2, 0, 0));
    let pairs: Vec<(u32, u32, usize)> =
        confusion.most_confused().iter().map(|pair| (pair.asked, pair.answered, pair.count)).collect();
    assert_eq!(pairs, [(0, 1, 2), (2, 0, 2), (1, 0, 1)]);
}

#[test]
fn right_answers_confuse_nothing() {
    let labels = [3, 1, 4, 1, 5];
    let confusion = Confusion::new(&labels, &labels, 10).unwrap();
    assert_eq!((confusion.accuracy(), confusion.accuracy_of(1)), (1.0, Some(1.0)));
    assert_eq!(confusion.most_confused(), Vec::<Confused>::new());
}

#[test]
fn shuffled_labels_are_right_one_time_in_k() {
    let asked: Vec<u32> = (0..20_000).map(|i| i % 10).collect();
    let order = Draws::new(0, "shuffle", 0).permutation(20_000);
    let answered: Vec<u32> = order.iter().map(|&i| asked[i as usize]).collect();
    let confusion = Confusion::new(&asked, &answered, 10).unwrap();
    // The standard error is √(0.1 · 0.9 / 20000) = 0.002.
    assert!((confusion.accuracy() - 0.1).abs() < 0.0085, "{}", confusion.accuracy());
    let mean: f64 = (0..10).map(|class| confusion.accuracy_of(class).unwrap()).sum::<f64>() / 10.0;
    assert!((mean - confusion.accuracy()).abs() < 1e-12);
}

#[test]
fn unlike_lists_and_labels_beyond_the_classes_are_refused() {
    assert!(matches!(Confusion::new(&[0, 1], &[0], 2), Err(EvalError::Counts { left: 1, right: 2, .. })));
    assert!(Confusion::new(&[], &[], 2).is_err());
    let error = Confusion::new(&[0, 1, 0], &[0, 1, 2], 2).unwrap_err();
    assert_eq!(error, EvalError::Label { place: 2, label: 2, classes: 2 });
    assert!(Confusion::new(&[u32::MAX], &[0], u32::MAX).is_err());
}
