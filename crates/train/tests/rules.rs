//! What a step is made of: the optimiser, the weights of the loss, the learning rate, the draws.
//!
//! `references/adamw.safetensors` is made by `benches/make_references.py` with torch 2.15: ten
//! steps of its AdamW after clipping the gradient's global norm to 1. `references/muon.safetensors`
//! is ten steps of its Muon, in f32 where it would take bf16.
use candle_core::{Device, Tensor, Var};
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction};
use duet_train::{
    AdamW, AdamWOptions, DataOrder, ImageDraws, LearningRate, LossWeighting, Muon, POWER_LENGTHS,
    PowerAverage, clip_global_norm, ema_decay, is_decayed, is_hidden_matrix, loss_weights, power_decay,
    power_exponent, power_factors,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const PREDICTIONS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];
const WEIGHTINGS: [LossWeighting; 6] = [
    LossWeighting::Uniform,
    LossWeighting::Late,
    LossWeighting::Noise,
    LossWeighting::LogNormal { mean: 0.6, deviation: 0.8 },
    LossWeighting::MinSnr,
    LossWeighting::P2,
];

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
        adam.step(iter(), &gradients, 1e-2, |_, _| true).unwrap();
        for (name, var) in iter() {
            let error = max_difference(var, &reference[&format!("{name}.{i}")]);
            assert!(error <= 1e-6, "{name} after step {i}: {error:e}");
        }
    }
    assert_eq!(adam.steps, 10);
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
    // A gradient of nothing but zeros has no direction: nothing moves, and nothing is divided by 0.
    let zeros = BTreeMap::from([("matrix".to_string(), matrix.zeros_like().unwrap())]);
    muon.step([("matrix", &matrix), ("bias", &bias)].into_iter(), &zeros, 0.1).unwrap();
    assert_eq!(matrix.to_vec2::<f32>().unwrap(), [[0.0; 3]; 2]);
}

#[test]
fn first_and_last_layers_and_embeddings_are_no_hidden_matrices() {
    let config =
        duet_model::UNetConfig { num_class_embeds: Some(3), ..duet_model::UNetConfig::diffusers_defaults() };
    let config = duet_model::UNetConfig { class_embed_type: None, block_out_channels: vec![32; 4], ..config };
    let (_, parameters) = duet_model::UNet::seeded(&config, 0, &Device::Cpu).unwrap();
    let (hidden, others): (Vec<_>, Vec<_>) =
        parameters.iter().partition(|(name, var)| is_hidden_matrix(name, var.rank()));
    let names = |of: &[(&str, &Var)]| of.iter().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>();
    let (hidden, others) = (names(&hidden), names(&others));
    for name in [
        "mid_block.resnets.0.conv1.weight",
        "mid_block.attentions.0.to_q.weight",
        "mid_block.resnets.0.time_emb_proj.weight",
        "time_embedding.linear_2.weight",
        "down_blocks.0.downsamplers.0.conv.weight",
    ] {
        assert!(hidden.contains(name), "{name}");
    }
    for name in [
        "conv_in.weight",
        "conv_out.weight",
        "class_embedding.weight",
        "time_embedding.linear_1.weight",
        "mid_block.resnets.0.conv1.bias",
        "mid_block.resnets.0.norm1.weight",
    ] {
        assert!(others.contains(name), "{name}");
    }
    for name in ["time_proj.weight", "class_embedding.linear_1.weight", "class_embedding.linear_2.weight"] {
        assert!(!is_hidden_matrix(name, 2), "{name}");
    }
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
fn weight_decay_spares_norms_biases_and_the_class_embedding() {
    let one = |dims: &[usize]| {
        Var::from_tensor(&Tensor::ones(dims, candle_core::DType::F32, &Device::Cpu).unwrap())
    };
    let parameters = [
        ("class_embedding.weight", one(&[3, 2]).unwrap(), 1.0),
        ("conv_in.bias", one(&[2]).unwrap(), 1.0),
        ("conv_in.weight", one(&[2, 1, 3, 3]).unwrap(), 0.95),
        ("conv_norm_out.weight", one(&[2]).unwrap(), 1.0),
        ("time_embedding.linear_1.weight", one(&[2, 2]).unwrap(), 0.95),
    ];
    let iter = || parameters.iter().map(|(name, var, _)| (*name, var));
    let options = AdamWOptions { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.5 };
    let zero = |(name, var): (&str, &Var)| (name.to_string(), var.as_tensor().zeros_like().unwrap());
    let mut adam = AdamW::new(iter(), options).unwrap();
    adam.step(iter(), &iter().map(zero).collect(), 0.1, is_decayed).unwrap();
    for (name, var, expected) in &parameters {
        let expected = (var.as_tensor().ones_like().unwrap() * *expected).unwrap();
        assert!(max_difference(var, &expected) < 1e-6, "{name}");
    }
}

fn small_schedule(last: f64) -> NoiseSchedule {
    NoiseSchedule::from_alphas_cumprod(vec![0.9, 0.75, 0.5, last]).unwrap()
}

fn schedules() -> Vec<NoiseSchedule> {
    let kinds =
        [BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::Cosine, BetaSchedule::Sigmoid];
    let mut schedules: Vec<_> = kinds.iter().map(|kind| NoiseSchedule::new(kind, 1000).unwrap()).collect();
    schedules.extend(schedules.clone().iter().map(NoiseSchedule::with_zero_terminal_snr));
    schedules.push(small_schedule(0.1));
    schedules
}

#[test]
fn loss_weights_have_mean_one_and_are_finite_even_at_zero_snr() {
    for schedule in schedules() {
        for rule in WEIGHTINGS {
            for prediction in PREDICTIONS {
                let weights = loss_weights(rule, prediction, &schedule);
                assert_eq!(weights.len(), schedule.len());
                let mean = weights.iter().sum::<f64>() / weights.len() as f64;
                assert!((mean - 1.0).abs() < 1e-12, "{rule} {prediction}: mean {mean}");
                assert!(weights.iter().all(|w| w.is_finite() && *w >= 0.0), "{rule} {prediction}");
            }
        }
    }
}

#[test]
fn uniform_weights_are_all_one() {
    for prediction in PREDICTIONS {
        assert_eq!(loss_weights(LossWeighting::Uniform, prediction, &small_schedule(0.0)), [1.0; 4]);
    }
}

#[test]
fn late_weights_fall_strictly_with_t_from_four_thirds_to_two_thirds() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap();
    for prediction in PREDICTIONS {
        let weights = loss_weights(LossWeighting::Late, prediction, &schedule);
        assert!(weights.windows(2).all(|pair| pair[0] > pair[1]));
        assert!((weights[0] - 4.0 / 3.0).abs() < 1e-12 && (weights[999] - 2.0 / 3.0).abs() < 1e-12);
    }
}

/// SNR = 9, 3, 1, 1/9 for ᾱ = 0.9, 0.75, 0.5, 0.1.
#[test]
fn snr_weights_are_their_closed_forms() {
    let cases = [
        (LossWeighting::Noise, Prediction::V, [0.1, 0.25, 0.5, 0.9]),
        (LossWeighting::Noise, Prediction::Epsilon, [0.1, 0.25, 0.5, 0.9]),
        (LossWeighting::MinSnr, Prediction::X0, [5.0, 3.0, 1.0, 1.0 / 9.0]),
        (LossWeighting::MinSnr, Prediction::Epsilon, [5.0 / 9.0, 1.0, 1.0, 1.0]),
        (LossWeighting::MinSnr, Prediction::V, [0.5, 0.75, 0.5, 0.1]),
        // 1/(1 + SNR) = 1 - ᾱ on ε; ᾱ on x_0; ᾱ(1 - ᾱ) on v.
        (LossWeighting::P2, Prediction::Epsilon, [0.1, 0.25, 0.5, 0.9]),
        (LossWeighting::P2, Prediction::X0, [0.9, 0.75, 0.5, 0.1]),
        (LossWeighting::P2, Prediction::V, [0.09, 0.1875, 0.25, 0.09]),
    ];
    for (rule, prediction, expected) in cases {
        let mean = expected.iter().sum::<f64>() / 4.0;
        for (weight, expected) in loss_weights(rule, prediction, &small_schedule(0.1)).iter().zip(expected) {
            assert!((weight - expected / mean).abs() < 1e-12, "{rule} {prediction}: {weight}");
        }
    }
}

/// ln σ over the weights has the mean and deviation of the rule, and nothing but noise has no weight.
#[test]
fn log_normal_weights_are_a_normal_distribution_of_ln_sigma() {
    for (schedule, (mean, deviation)) in
        schedules().iter().flat_map(|schedule| [(0.6, 0.8), (0.0, 0.7)].map(|pair| (schedule, pair)))
    {
        let weights = loss_weights(LossWeighting::LogNormal { mean, deviation }, Prediction::V, schedule);
        assert!(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0));
        let moment = |of: &dyn Fn(f64) -> f64| {
            let log_sigma = |t: usize| -0.5 * schedule.snr(t).ln();
            let terms =
                (0..schedule.len()).filter(|&t| weights[t] > 0.0).map(|t| weights[t] * of(log_sigma(t)));
            terms.sum::<f64>() / weights.iter().sum::<f64>()
        };
        if schedule.len() < 100 {
            continue;
        }
        let found = moment(&|x| x);
        let spread = moment(&|x| (x - found).powi(2)).sqrt();
        assert!((found - mean).abs() < 0.02 && (spread - deviation).abs() < 0.02, "{found}, {spread}");
    }
    let rule = "log_normal".parse().unwrap();
    let weights = loss_weights(rule, Prediction::V, &small_schedule(0.0));
    assert!(weights[3] == 0.0 && weights[0] > 0.0, "{weights:?}");
}

#[test]
fn a_mean_beyond_all_timesteps_weighs_the_nearest() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    for (text, nearest) in [("log_normal:20:0.05", 999), ("log_normal:-20:0.05", 0)] {
        let weights = loss_weights(text.parse().unwrap(), Prediction::V, &schedule);
        assert!((weights[nearest] - 1000.0).abs() < 1e-9, "{text}: {}", weights[nearest]);
    }
}

/// A prediction that is off by δ is off by b·δ in x_0 = a·x + b·p, so its loss is ‖x_0 error‖²/b²,
/// and the weight that it puts on ‖x_0 error‖² is weight/b².
#[test]
fn an_snr_rule_weighs_the_error_of_x0_the_same_whatever_is_predicted() {
    for schedule in schedules() {
        for rule in [LossWeighting::MinSnr, LossWeighting::P2] {
            let on_x0 = loss_weights(rule, Prediction::X0, &schedule);
            for prediction in [Prediction::Epsilon, Prediction::V] {
                if prediction.check(&schedule).is_err() {
                    continue;
                }
                let weights = loss_weights(rule, prediction, &schedule);
                let factor = |t: usize| {
                    let b = prediction.x0_coefficients(schedule.alpha_bar(t)).1;
                    weights[t] / (b * b) / on_x0[t]
                };
                let first = factor(0);
                for t in (0..schedule.len()).filter(|&t| on_x0[t] > 0.0) {
                    let ratio = factor(t) / first;
                    assert!((ratio - 1.0).abs() < 1e-9, "{rule} {prediction} at t = {t}: {ratio}");
                }
            }
        }
    }
}

#[test]
fn at_zero_snr_an_snr_rule_ignores_the_error_of_x0() {
    for rule in [LossWeighting::MinSnr, LossWeighting::P2] {
        for prediction in [Prediction::V, Prediction::X0] {
            assert_eq!(loss_weights(rule, prediction, &small_schedule(0.0))[3], 0.0, "{rule} {prediction}");
        }
    }
}

#[test]
fn weightings_are_read_by_the_name_that_they_print() {
    let other = LossWeighting::LogNormal { mean: -0.1, deviation: 1.25 };
    for rule in WEIGHTINGS.into_iter().chain([other]) {
        assert_eq!(rule.to_string().parse::<LossWeighting>().unwrap(), rule);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<LossWeighting>(&json).unwrap(), rule);
    }
    // Files of older versions have the name alone.
    assert_eq!(LossWeighting::LogNormal { mean: 0.6, deviation: 0.8 }.to_string(), "log_normal");
    let error = "early".parse::<LossWeighting>().unwrap_err();
    assert!(error.contains("early") && error.contains("min_snr"), "{error}");
    for wrong in ["", "1", "1:0", "nan:1", "0:inf", "21:1", "0:1:2"] {
        let error = format!("log_normal:{wrong}").parse::<LossWeighting>().unwrap_err();
        assert!(error.contains("log_normal:MEAN:DEVIATION"), "{error}");
    }
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
    fn each_epoch_shows_each_image_once(seed: u64, images in 1u32..200, epoch in 0u64..1 << 40) {
        let mut order = DataOrder::new(seed, images);
        let first = epoch * u64::from(images);
        let seen: BTreeSet<_> = (first..first + u64::from(images)).map(|i| order.image(i)).collect();
        prop_assert_eq!(seen, (0..images as usize).collect());
    }

    #[test]
    fn which_image_is_seen_does_not_depend_on_what_was_asked_before(
        seed: u64,
        images in 1u32..20,
        indices in prop::collection::vec(0u64..200, 1..20),
    ) {
        let mut order = DataOrder::new(seed, images);
        for index in indices {
            prop_assert_eq!(order.image(index), DataOrder::new(seed, images).image(index));
        }
    }

    #[test]
    fn the_averages_decay_rises_to_its_limit(decay in 0f64..1.0, step in 0u64..1 << 40) {
        let now = ema_decay(decay, step);
        prop_assert!((0.0..=decay).contains(&now) && now <= ema_decay(decay, step + 1));
    }
}

#[test]
fn epochs_and_seeds_have_orders_of_their_own() {
    let order = |seed: u64, epoch: u64| {
        let mut order = DataOrder::new(seed, 20);
        (epoch * 20..(epoch + 1) * 20).map(|i| order.image(i)).collect::<Vec<_>>()
    };
    let orders: BTreeSet<_> = (0..50).flat_map(|epoch| [order(1, epoch), order(2, epoch)]).collect();
    assert_eq!(orders.len(), 100);
}

#[test]
fn an_images_draws_are_a_function_of_seed_and_index() {
    let draw = |seed: u64, index: u64| ImageDraws::new(seed, index, 1000, 0.5);
    let noise = |seed: u64, index: u64| {
        let mut noise = vec![0f32; 16];
        ImageDraws::noise(seed, index, &mut noise);
        noise
    };
    let forwards: Vec<_> = (0..100).map(|i| (draw(3, i), noise(3, i))).collect();
    let mut backwards: Vec<_> = (0..100).rev().map(|i| (draw(3, i), noise(3, i))).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let other: Vec<_> = (0..100).map(|i| (draw(4, i), noise(4, i))).collect();
    assert!(forwards.iter().zip(&other).all(|(a, b)| a.1 != b.1));
    assert!(forwards.windows(2).all(|pair| pair[0].1 != pair[1].1));
    let agreeing = forwards.iter().zip(&other).filter(|(a, b)| a.0.timestep == b.0.timestep).count();
    assert!(agreeing < 5, "{agreeing} of 100 timesteps agree under two seeds");
}

/// Rates within five standard deviations of 20 000 draws.
#[test]
fn labels_are_dropped_at_the_asked_rate_whatever_the_timestep() {
    let count = 20_000;
    for p in [0.0, 0.1, 0.5, 1.0] {
        let draws: Vec<_> = (0..count).map(|i| ImageDraws::new(5, i, 1000, p)).collect();
        for part in [draws.clone(), draws.into_iter().filter(|draw| draw.timestep < 500).collect()] {
            let n = part.len() as f64;
            let rate = part.iter().filter(|draw| draw.drops_label).count() as f64 / n;
            assert!((rate - p).abs() <= 5.0 * (p * (1.0 - p) / n).sqrt(), "p = {p}: {rate}");
        }
    }
}

/// Each count within five standard deviations of its mean.
#[test]
fn timesteps_are_uniform_over_all_of_them() {
    let (count, timesteps) = (20_000u64, 10usize);
    let mut counts = vec![0f64; timesteps];
    for i in 0..count {
        counts[ImageDraws::new(6, i, timesteps, 0.1).timestep] += 1.0;
    }
    let mean = count as f64 / timesteps as f64;
    assert!(counts.iter().all(|c| (c - mean).abs() <= 5.0 * (mean * 0.9).sqrt()), "{counts:?}");
}

#[test]
fn the_average_forgets_the_first_weights_quickly() {
    assert_eq!(ema_decay(0.999, 0), 0.1);
    assert_eq!(ema_decay(0.999, 1), 2.0 / 11.0);
    assert_eq!(ema_decay(0.999, 90), 0.91);
    assert_eq!(ema_decay(0.999, 1_000_000), 0.999);
    assert_eq!(ema_decay(0.0, 1), 0.0);
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

/// Weights that wander and settle: what an average of each length is, kept as it went, and what it is
/// as a sum of snapshots of two others.
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
    // One that was kept is itself.
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
