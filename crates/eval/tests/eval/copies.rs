//! Copies by the ratio of the two nearest distances, and the test against held-out images.

use crate::common::{normal, on_one_and_three_threads};
use duet_eval::{CopyCounts, Features, Share, copies, fisher_greater};

fn line(values: &[f32]) -> Features {
    Features::new(values.to_vec(), 1).unwrap()
}

#[test]
fn a_copy_is_three_times_as_close_to_one_training_image_as_to_any_other() {
    let training = line(&[0.0, 4.0, 100.0]);
    let points = line(&[0.0, 0.9, 0.999, 1.0, 1.1, 2.0, 3.1, 4.0, -1.0, -2.1, 52.0, 90.0]);
    let expected = [true, true, true, false, false, false, true, true, true, false, false, true];
    assert_eq!(copies(&points, &training).unwrap().unwrap(), expected);
}

#[test]
fn a_training_image_that_is_there_twice_counts_once() {
    let once = line(&[0.0, 4.0]);
    let points = line(&[0.0, 0.5, 2.0, 4.0]);
    let expected = copies(&points, &once).unwrap();
    assert_eq!(expected, Some(vec![true, true, false, true]));
    for twice in [&[0.0, 4.0, 0.0][..], &[4.0, 0.0, 4.0, 0.0, -0.0]] {
        assert_eq!(copies(&points, &line(twice)).unwrap(), expected, "{twice:?}");
    }
}

#[test]
fn one_training_image_alone_has_no_second_distance() {
    for training in [&[1.0][..], &[1.0, 1.0, 1.0], &[0.0, -0.0]] {
        assert_eq!(copies(&line(&[1.0, 2.0]), &line(training)).unwrap(), None);
    }
    let two = Features::new(vec![0.0; 4], 2).unwrap();
    assert!(copies(&two, &line(&[0.0, 1.0])).is_err());
}

/// Points in the middle of two training images are no copies, however close both are.
#[test]
fn ties_are_no_copies_and_the_order_of_rows_and_threads_does_not_count() {
    assert_eq!(copies(&line(&[0.5]), &line(&[0.0, 1.0, 50.0])).unwrap(), Some(vec![false]));
    let (points, training) = (normal(1, 200, 20), normal(2, 300, 20));
    let reversed: Vec<usize> = (0..300).rev().collect();
    let backwards = training.select(&reversed).unwrap();
    let [one, three] = on_one_and_three_threads(|| copies(&points, &training));
    assert_eq!((&one, &one), (&three, &copies(&points, &backwards).unwrap()));
}

/// The weakness of a distance alone: one class is closer together than another.
#[test]
fn a_class_that_is_close_together_has_no_more_copies_than_another() {
    let tight: Vec<f32> = normal(3, 400, 30).values().iter().map(|value| value / 50.0).collect();
    let tight = Features::new(tight, 30).unwrap();
    for training in [tight, normal(3, 400, 30)] {
        let half: Vec<usize> = (0..200).collect();
        let rest: Vec<usize> = (200..400).collect();
        let found =
            copies(&training.select(&rest).unwrap(), &training.select(&half).unwrap()).unwrap().unwrap();
        assert_eq!(found.iter().filter(|&&copy| copy).count(), 0);
        let noise = normal(4, 200, 30);
        let scale = training.row(0)[0].abs() / 1000.0;
        let near = training
            .select(&half)
            .unwrap()
            .values()
            .iter()
            .zip(noise.values())
            .map(|(t, n)| t + scale * n)
            .collect();
        let found =
            copies(&Features::new(near, 30).unwrap(), &training.select(&half).unwrap()).unwrap().unwrap();
        assert!(found.iter().all(|&copy| copy));
    }
}

#[test]
fn copies_are_counted_by_class_beside_those_of_held_out_images() {
    let samples = (&[true, true, false, false, true][..], &[0, 0, 0, 2, 2][..]);
    let held_out = (&[false, true, false][..], &[0, 1, 2][..]);
    let counts = CopyCounts::new(samples, held_out).unwrap();
    let share = |count, of| Share { count, of };
    assert_eq!((counts.all.samples, counts.all.held_out), (share(3, 5), share(1, 3)));
    let of = |class: u32| (counts.by_class[&class].samples, counts.by_class[&class].held_out);
    assert_eq!(of(0), (share(2, 3), share(0, 1)));
    assert_eq!(of(1), (share(0, 0), share(1, 1)));
    assert_eq!(of(2), (share(1, 2), share(0, 1)));
    assert_eq!(share(0, 0).value(), 0.0);
    assert!(CopyCounts::new((&[true], &[]), held_out).is_err());
    assert!(CopyCounts::new(samples, (&[], &[1])).is_err());
}

type Case = ((usize, usize), (usize, usize), f64);
const REFERENCES: [Case; 9] = [
    ((3, 5), (1, 3), 0.5),
    ((0, 10), (0, 10), 1.0),
    ((20, 200), (0, 30), 0.05354478495705559),
    ((9, 200), (4, 2000), 1.8524494730359075e-07),
    ((200, 200), (0, 10), 2.7043883597916416e-17),
    ((5, 200), (60, 2000), 0.7190338310712376),
    ((500, 1000), (2000, 10000), 2.5622698707255616e-88),
    ((0, 5), (5, 5), 1.0),
    ((1, 1), (0, 1), 0.5),
];

/// scipy 1.17.1: `fisher_exact([[a, n - a], [b, m - b]], alternative="greater")`.
#[test]
fn fishers_test_agrees_with_scipy() {
    for ((a, n), (b, m), expected) in REFERENCES {
        let p = fisher_greater(Share { count: a, of: n }, Share { count: b, of: m });
        assert!(
            (p - expected).abs() <= 1e-9 * expected.max(1e-6),
            "{a}/{n} {b}/{m}: {p}, expected {expected}"
        );
    }
}

/// The test may not fire on noise: with no more copies than held-out images, p < α comes about as often as α at most.
#[test]
fn the_test_does_not_fire_on_noise() {
    let mut draws = duet_random::Draws::new(5, "noise", 0);
    let mut fired = 0;
    for _ in 0..2000 {
        let mut share = |of: usize| {
            let count = (0..of).filter(|_| draws.uniform() < 0.03).count();
            Share { count, of }
        };
        let (samples, held_out) = (share(200), share(300));
        fired += usize::from(fisher_greater(samples, held_out) < 0.01);
    }
    assert!(fired <= 30, "{fired} of 2000");
}
