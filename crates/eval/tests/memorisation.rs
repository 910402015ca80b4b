//! Copies are found, and honest samples are not accused.

mod common;

use common::{joined, mapped, normal, on_one_and_three_threads};
use duet_eval::{Features, Pair, memorisation};

#[test]
fn copied_training_images_are_found_at_distance_zero() {
    let training = normal(0, 500, 48);
    let copies = training.select(&[3, 141, 59, 3]).unwrap();
    let found = memorisation(&copies, &normal(1, 300, 48), &training, 0.01).unwrap();
    assert_eq!((found.copied_share, found.closer_share), (1.0, 1.0));
    let pairs: Vec<(usize, usize, f64)> =
        found.pairs.iter().map(|pair| (pair.sample, pair.training, pair.distance)).collect();
    assert_eq!(pairs, [(0, 3, 0.0), (1, 141, 0.0), (2, 59, 0.0), (3, 3, 0.0)]);
}

#[test]
fn samples_like_held_out_images_have_the_expected_shares() {
    let (training, held_out) = (normal(2, 1000, 12), normal(3, 2000, 12));
    let found = memorisation(&normal(4, 2000, 12), &held_out, &training, 0.05).unwrap();
    // The standard error is √(2 · 0.05 · 0.95 / 2000) = 0.007 and √(2 / 4 / 2000) = 0.016.
    assert!((found.copied_share - 0.05).abs() < 0.028, "{}", found.copied_share);
    assert!((found.closer_share - 0.5).abs() < 0.064, "{}", found.closer_share);
    assert!(0.0 < found.copy_distance && found.copy_distance < found.median_distance);
}

#[test]
fn a_tenth_of_noisy_copies_is_counted_and_listed_first() {
    let training = normal(5, 500, 48);
    let noise = normal(6, 50, 48);
    let copies: Vec<f32> =
        (0..50).flat_map(|i| training.row(i).iter().zip(noise.row(i)).map(|(x, z)| x + 0.1 * z)).collect();
    let samples = joined(&normal(7, 450, 48), &Features::new(copies, 48).unwrap());
    let found = memorisation(&samples, &normal(8, 1000, 48), &training, 0.01).unwrap();
    assert!((0.1..0.14).contains(&found.copied_share), "{}", found.copied_share);
    assert_eq!(found.pairs.len(), 500);
    assert!(found.pairs.is_sorted_by(|a, b| a.distance <= b.distance));
    let is_copy = |pair: &Pair| pair.sample == 450 + pair.training;
    assert!(found.pairs[..50].iter().all(is_copy));
}

#[test]
fn a_model_that_keeps_close_without_copying_shows_in_the_median() {
    let training = normal(9, 400, 16);
    let toward = mapped(&normal(10, 400, 16), |row| row.iter().map(|value| 0.7 * value).collect());
    let found = memorisation(&toward, &normal(11, 400, 16), &training, 0.01).unwrap();
    assert!(found.closer_share > 0.8 && found.copied_share < 0.9, "{found:?}");
}

#[test]
fn the_quantiles_are_those_of_the_held_out_distances() {
    let line = |values: &[f32]| Features::new(values.to_vec(), 1).unwrap();
    // Distances of held-out images: 1, 2, 3, 4, 5; of samples: 1, 1.5, 3, 9.
    let held_out = line(&[1.0, -2.0, 3.0, -4.0, 5.0]);
    let found = memorisation(&line(&[1.0, 1.5, -3.0, 9.0]), &held_out, &line(&[0.0]), 0.125).unwrap();
    assert_eq!((found.copy_distance, found.median_distance), (1.5, 3.0));
    assert_eq!((found.copied_share, found.closer_share), (0.25, 0.5));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (samples, held_out, training) = (normal(12, 70, 9), normal(13, 80, 9), normal(14, 90, 9));
    let [one, three] = on_one_and_three_threads(|| memorisation(&samples, &held_out, &training, 0.1));
    assert_eq!(one, three);
}

#[test]
fn a_quantile_out_of_range_and_unlike_rows_are_refused() {
    let (set, other) = (normal(0, 5, 2), normal(0, 5, 3));
    for q in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(memorisation(&set, &set, &set, q).is_err(), "{q}");
    }
    assert!(memorisation(&other, &set, &set, 0.1).is_err());
    assert!(memorisation(&set, &other, &set, 0.1).is_err());
}
