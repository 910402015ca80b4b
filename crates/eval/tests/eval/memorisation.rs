//! Copies are found, and honest samples are not accused.

use crate::common::{joined, mapped, normal, on_one_and_three_threads};
use duet_eval::{Classed, EvalError, Features, Memorisation, SamplePair};

/// Of one class.
fn memorisation(
    samples: &Features,
    held_out: &Features,
    training: &Features,
    q: f64,
) -> Result<Memorisation, EvalError> {
    let classes = vec![3; samples.len().max(held_out.len())];
    let of = |features| Classed { features, classes: &classes[..Features::len(features)] };
    duet_eval::memorisation(of(samples), of(held_out), training, q)
}

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
    let honest = found.honest[&3];
    assert!(0.0 < honest.copy_distance && honest.copy_distance < honest.median_distance);
    assert!((found.expected_share - 0.05).abs() < 1e-9);
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
    let is_copy = |pair: &SamplePair| pair.sample == 450 + pair.training;
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
    let found = memorisation(&line(&[1.0, 1.5, -3.0, 9.0]), &held_out, &line(&[0.0]), 0.25).unwrap();
    let honest = found.honest[&3];
    assert_eq!((honest.copy_distance, honest.median_distance), (1.5, 3.0));
    assert_eq!((found.copied_share, found.closer_share), (0.25, 0.5));
    assert_eq!(found.pairs[0], SamplePair { sample: 0, training: 0, distance: 1.0, relative: 1.0 / 3.0 });
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

/// A narrow class beside a wide one: all its images are closer than the wide one's closest.
#[test]
fn each_class_is_measured_by_its_own_held_out_images() {
    let narrow = |seed, rows| mapped(&normal(seed, rows, 12), |row| row.iter().map(|v| 0.05 * v).collect());
    let wide = |seed, rows| mapped(&normal(seed, rows, 12), |row| row.iter().map(|v| 9.0 + v).collect());
    let both = |seed, rows| joined(&narrow(seed, rows), &wide(seed + 1, rows));
    let classes: Vec<u32> = (0..2000).map(|i| i / 1000).collect();
    let (training, held_out, samples) = (both(20, 1000), both(22, 1000), both(24, 1000));
    let find = |samples: &Features| {
        let of = |features| Classed { features, classes: &classes };
        duet_eval::memorisation(of(samples), of(&held_out), &training, 0.05).unwrap()
    };
    let found = find(&samples);
    assert!(found.honest[&0].copy_distance < 0.1 * found.honest[&1].copy_distance);
    assert!(
        (found.copied_share - 0.05).abs() < 0.028 && (found.closer_share - 0.5).abs() < 0.064,
        "{found:?}"
    );
    // Slightly changed copies of the wide class are further away than held-out images of the narrow one.
    let off = mapped(&normal(26, 1000, 12), |row| row.iter().map(|v| 0.1 * v).collect());
    let copies: Vec<f32> = wide(21, 1000).values().iter().zip(off.values()).map(|(x, z)| x + z).collect();
    let copies = joined(&narrow(24, 1000), &Features::new(copies, 12).unwrap());
    let found = find(&copies);
    assert!((0.5..0.56).contains(&found.copied_share), "{}", found.copied_share);
    assert!(found.pairs[..900].iter().filter(|pair| pair.sample >= 1000).count() > 800);
}

#[test]
fn few_held_out_images_of_a_class_say_what_share_is_to_be_expected() {
    let (training, held_out) = (normal(30, 300, 6), normal(31, 30, 6));
    let classes: Vec<u32> = (0..30).map(|i| u32::from(i >= 19)).collect();
    let samples = normal(32, 4000, 6);
    let of = |class| {
        let classes_of_samples = vec![class; 4000];
        let samples = Classed { features: &samples, classes: &classes_of_samples };
        duet_eval::memorisation(samples, Classed { features: &held_out, classes: &classes }, &training, 0.01)
    };
    for (class, expected) in [(0, 1.0 / 20.0), (1, 1.0 / 12.0), (7, 1.0 / 31.0)] {
        let found = of(class).unwrap();
        assert!((found.expected_share - expected).abs() < 1e-12, "{class}: {}", found.expected_share);
    }
    let few = Classed { features: &held_out, classes: &classes[1..] };
    assert!(matches!(duet_eval::memorisation(few, few, &training, 0.01), Err(EvalError::Counts { .. })));
}
