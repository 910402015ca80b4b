//! The optimisers, the learning rate and the averages.
//!
//! `../references/adamw.safetensors` is made by `benches/make_references.py` with torch 2.15: ten
//! steps of its AdamW after clipping the gradient's global norm to 1. `../references/muon.safetensors`
//! is ten steps of its Muon, in f32 where it would take bf16.
use candle_core::{Device, Tensor, Var};
use duet_optim::{
    AdamW, AdamWOptions, LearningRate, Muon, POWER_LENGTHS, PowerAverage, clip_global_norm, ema_decay,
    ema_reached, power_decay, power_exponent, power_factors,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    let largest = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    f64::from(largest.to_scalar::<f32>().unwrap())
}

#[test]
fn ten_clipped_adamw_steps_are_those_of_torch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/adamw.safetensors");
    let reference = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let start = |name: &str| (name.to_string(), Var::from_tensor(&reference[&format!("{name}.0")]).unwrap());
    let parameters = BTreeMap::from(["p", "q"].map(start));
    let iter = || parameters.iter().map(|(name, var)| (name.as_str(), var));
    let options = AdamWOptions { betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.05 };
    let mut adam = AdamW::new(iter(), options).unwrap();
    for i in 1..=10 {
        let gradient = |name: &str| (name.to_string(), reference[&format!("grad_{name}.{i}")].clone());
        let mut gradients = BTreeMap::from(["p", "q"].map(gradient));
        let norm = clip_global_norm(&mut gradients, 1.0).unwrap();
        let expected = f64::from(reference[&format!("norm.{i}")].to_vec1::<f32>().unwrap()[0]);
        assert!((norm - expected).abs() <= 1e-6 * expected, "norm {norm}, torch {expected}");
        adam.step(i, iter(), &gradients, 1e-2, |_, _| true).unwrap();
        for (name, var) in iter() {
            let error = max_difference(var, &reference[&format!("{name}.{i}")]);
            assert!(error <= 1e-6, "{name} after step {i}: {error:e}");
        }
    }
}

#[test]
fn ten_muon_steps_are_those_of_torch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/muon.safetensors");
    let reference = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let names = ["square", "tall", "wide"];
    // A convolution's filters are rows of a matrix.
    let shaped = |tensor: &Tensor| match tensor.dims() {
        [6, 27] => tensor.reshape((6, 3, 3, 3)).unwrap(),
        _ => tensor.clone(),
    };
    let start =
        |name: &str| (name.to_string(), Var::from_tensor(&shaped(&reference[&format!("{name}.0")])).unwrap());
    let parameters = BTreeMap::from(names.map(start));
    let iter = || parameters.iter().map(|(name, var)| (name.as_str(), var));
    let mut muon = Muon::new(iter(), 0.05).unwrap();
    for i in 1..=10 {
        let gradient = |name: &str| (name.to_string(), shaped(&reference[&format!("grad_{name}.{i}")]));
        muon.step(iter(), &BTreeMap::from(names.map(gradient)), 1e-2).unwrap();
        for (name, var) in iter() {
            let error = max_difference(var, &shaped(&reference[&format!("{name}.{i}")]));
            assert!(error <= 1e-5, "{name} after step {i}: {error:e}");
        }
    }
}

#[test]
fn muon_moves_only_matrices_and_says_what_it_lacks() {
    let matrix = Var::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let bias = Var::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = Muon::new([("bias", &bias)].into_iter(), 0.0).unwrap_err().to_string();
    assert!(error.contains("bias") && error.contains("[3]"), "{error}");
    let mut muon = Muon::new([("matrix", &matrix)].into_iter(), 0.0).unwrap();
    let error = muon.step([("matrix", &matrix)].into_iter(), &BTreeMap::new(), 0.1).unwrap_err();
    assert!(error.to_string().contains("no gradient for matrix"), "{error}");
    let misshapen = BTreeMap::from([("matrix".to_string(), matrix.zeros_like().unwrap().t().unwrap())]);
    let error = muon.step([("matrix", &matrix)].into_iter(), &misshapen, 0.1).unwrap_err();
    assert!(error.to_string().contains("[3, 2]"), "{error}");
    let error = muon.step([("bias", &bias)].into_iter(), &BTreeMap::new(), 0.1).unwrap_err();
    assert!(error.to_string().contains("0 of 1"), "{error}");
    // A gradient of zeros has no direction: nothing moves, and there is no division by 0.
    let zeros = BTreeMap::from([("matrix".to_string(), matrix.zeros_like().unwrap())]);
    muon.step([("matrix", &matrix), ("bias", &bias)].into_iter(), &zeros, 0.1).unwrap();
    assert_eq!(matrix.to_vec2::<f32>().unwrap(), [[0.0; 3]; 2]);
}

fn pair(first: &[f32], second: &[f32]) -> BTreeMap<String, Tensor> {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    BTreeMap::from([("a".to_string(), tensor(first)), ("b".to_string(), tensor(second))])
}

#[test]
fn clipping_leaves_a_short_gradient_alone_and_keeps_the_direction_of_a_long_one() {
    let values =
        |g: &BTreeMap<String, Tensor>| [g["a"].to_vec1::<f32>(), g["b"].to_vec1()].map(Result::unwrap);
    let mut short = pair(&[3.0, 0.0], &[-4.0]);
    assert_eq!(clip_global_norm(&mut short, 5.1).unwrap(), 5.0);
    assert_eq!(values(&short), [vec![3.0, 0.0], vec![-4.0]]);
    let mut long = pair(&[30.0, 0.0], &[-40.0]);
    assert_eq!(clip_global_norm(&mut long, 5.0).unwrap(), 50.0);
    for (value, expected) in values(&long).concat().into_iter().zip([3.0f32, 0.0, -4.0]) {
        assert!((value - expected).abs() < 1e-6, "{value}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_reported_and_not_hidden_by_clipping() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradients = pair(&[1.0, bad], &[2.0]);
        assert!(!clip_global_norm(&mut gradients, 1.0).unwrap().is_finite());
        assert_eq!(gradients["b"].to_vec1::<f32>().unwrap(), [2.0]);
    }
}

/// The sum of squares of these f32 values is beyond f32, not beyond f64.
#[test]
fn the_norm_of_a_huge_gradient_is_finite() {
    let norm = clip_global_norm(&mut pair(&[3e30], &[4e30]), 1.0).unwrap();
    assert!((norm / 5e30 - 1.0).abs() < 1e-6, "{norm}");
}

#[test]
fn the_average_forgets_the_first_weights_quickly() {
    assert_eq!(ema_decay(0.999, 0), 0.1);
    assert_eq!(ema_decay(0.999, 1), 2.0 / 11.0);
    assert_eq!(ema_decay(0.999, 90), 0.91);
    assert_eq!(ema_decay(0.999, 1_000_000), 0.999);
    assert_eq!(ema_decay(0.0, 1), 0.0);
    assert_eq!([0.0, 0.1, 0.9, 0.999, 0.9995].map(ema_reached), [0, 0, 80, 8_990, 17_990]);
    for decay in [0.5, 0.99, 0.999] {
        let reached = ema_reached(decay);
        assert!((ema_decay(decay, reached) - decay).abs() < 1e-12 && ema_decay(decay, reached - 1) < decay);
    }
}

/// The exponents of the lengths 0.05 and 0.10, as section 3.2 of Karras et al. 2024b gives them.
#[test]
fn a_length_is_that_of_its_exponent() {
    assert!((power_exponent(0.05).unwrap() - 16.97).abs() < 5e-3);
    assert!((power_exponent(0.10).unwrap() - 6.94).abs() < 5e-3);
    for length in [1e-5, 1e-3, 0.02, 0.2, 0.288] {
        let g = power_exponent(length).unwrap();
        assert!((((g + 1.0) / (g + 3.0)).sqrt() / (g + 2.0) / length - 1.0).abs() < 1e-9, "{length}: {g}");
    }
    for length in [0.0, -0.1, 0.2887, 1.0, f64::NAN, f64::INFINITY] {
        assert!(power_exponent(length).unwrap_err().to_string().contains("relative length"), "{length}");
    }
}

/// The average of a length after every step of some weights, one by one.
fn averages(weights: &[f64], length: f64) -> Vec<f64> {
    let exponent = power_exponent(length).unwrap();
    let mut average = 0.0;
    let next = |(i, weight): (usize, &f64)| {
        let decay = power_decay(exponent, i as u64 + 1);
        average = decay * average + (1.0 - decay) * weight;
        average
    };
    weights.iter().enumerate().map(next).collect()
}

/// The weights wander and settle. For each length, the test compares the average kept during the steps with
/// the sum of snapshots of two others.
#[test]
fn an_average_of_any_length_is_a_sum_of_snapshots_of_two() {
    let (steps, every) = (4000, 400);
    let mut noise = 1u32;
    let mut walk = 0.0;
    let weight = |i: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        walk += (f64::from(noise) / f64::from(u32::MAX) - 0.5) * (1.0 - i as f64 / steps as f64);
        walk
    };
    let weights: Vec<f64> = (0..steps).map(weight).collect();
    let of_kept = POWER_LENGTHS.map(|length| averages(&weights, length));
    let mut kept = Vec::new();
    let mut values = Vec::new();
    for step in (every..=steps).step_by(every) {
        for (length, averages) in POWER_LENGTHS.into_iter().zip(&of_kept) {
            kept.push(PowerAverage { step: step as u64, length });
            values.push(averages[step - 1]);
        }
    }
    let spread = weights.iter().fold(0f64, |most, w| most.max(w.abs()));
    for length in [0.03, 0.05, 0.07, 0.1, 0.15, 0.2] {
        for step in [2000, 4000] {
            let wanted = PowerAverage { step, length };
            let (factors, left) = power_factors(&kept, wanted).unwrap();
            let sum: f64 = factors.iter().zip(&values).map(|(factor, value)| factor * value).sum();
            let error = (sum - averages(&weights, length)[step as usize - 1]).abs() / spread;
            println!("{wanted:?}: {left:.3} left, error {error:.5}");
            assert!(error < 0.5 * left + 1e-9, "{wanted:?}: {left} left, error {error}");
            assert!(
                left < if (0.05..=0.1).contains(&length) { 0.06 } else { 0.2 },
                "{wanted:?}: {left} left"
            );
            assert!((factors.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{wanted:?}: {factors:?}");
        }
    }
    // A kept average is reproduced exactly.
    let (factors, left) = power_factors(&kept, kept[7]).unwrap();
    let alone = factors.iter().enumerate().all(|(i, f)| (f - f64::from(u8::from(i == 7))).abs() < 1e-6);
    assert!(alone && left < 1e-6, "{left}: {factors:?}");
    let refused = |kept: &[PowerAverage], step| {
        power_factors(kept, PowerAverage { step, length: 0.1 }).unwrap_err().to_string()
    };
    assert!(refused(&kept, 4001).contains("after 4000") && refused(&[], 1).contains("after step 1"));
    assert!(
        refused(&kept, 0).contains("after step 0") && refused(&[kept[0], kept[0]], 400).contains("twice")
    );
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_learning_rate_rises_to_its_peak_and_falls_to_its_end(
        peak in 1e-6f64..1.0,
        warmup in 0u64..400,
        steps in 1u64..500,
        last in 0f64..=1.0,
    ) {
        let rate = LearningRate { peak, warmup, steps, last };
        if warmup > 0 {
            prop_assert!(close(rate.at(0), peak / warmup as f64));
            prop_assert!(close(rate.at(warmup - 1), peak));
        }
        prop_assert!(close(rate.at(warmup), peak), "the first step after the warm-up");
        prop_assert!((1..warmup).all(|step| rate.at(step) > rate.at(step - 1)), "it rises");
        let end = steps.max(warmup + 1);
        prop_assert!((warmup..end).all(|step| rate.at(step) >= rate.at(step + 1)), "it falls");
        prop_assert!((rate.at(end) - peak * last).abs() <= 1e-12 * peak);
        prop_assert_eq!(rate.at(end + 1000), rate.at(end), "beyond the end it stays");
        // The first and the last step that a run takes both learn something.
        prop_assert!(rate.at(0) > 0.0 && rate.at(steps - 1) > 0.0);
        let middle = warmup + (end - warmup) / 2;
        if steps > warmup && (end - warmup).is_multiple_of(2) {
            prop_assert!(close(rate.at(middle), peak * (1.0 + last) / 2.0), "half-way down the cosine");
        }
    }

    #[test]
    fn the_averages_decay_rises_to_its_limit(decay in 0f64..1.0, step in 0u64..1 << 40) {
        let now = ema_decay(decay, step);
        prop_assert!((0.0..=decay).contains(&now) && now <= ema_decay(decay, step + 1));
    }
}
