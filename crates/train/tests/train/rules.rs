//! The parts of a step: the weights of the loss, the draws, and which optimiser moves which parameter.
use candle_core::{Device, Tensor, Var};
use duet_optim::{AdamW, AdamWOptions};
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction};
use duet_train::{DataOrder, ImageDraws, LossWeighting, is_decayed, is_hidden_matrix, loss_weights};
use proptest::prelude::*;
use std::collections::BTreeSet;

const PREDICTIONS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];
const WEIGHTINGS: [LossWeighting; 6] = [
    LossWeighting::Uniform,
    LossWeighting::Late { lambda: 1.0 },
    LossWeighting::Noise,
    LossWeighting::LogNormal { mean: 0.6, deviation: 0.8 },
    LossWeighting::MinSnr,
    LossWeighting::P2,
];

#[test]
fn first_and_last_layers_and_embeddings_are_no_hidden_matrices() {
    let config =
        duet_model::UNetConfig { num_class_embeds: Some(3), ..duet_model::UNetConfig::diffusers_defaults() };
    let config = duet_model::UNetConfig { class_embed_type: None, block_out_channels: vec![32; 4], ..config };
    let (_, parameters) = duet_model::UNet::seeded_with_augment_labels(&config, 9, 0, &Device::Cpu).unwrap();
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
        "augment_embedding.weight",
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

#[test]
fn weight_decay_spares_norms_biases_and_embeddings_of_what_is_told() {
    let one = |dims: &[usize]| {
        Var::from_tensor(&Tensor::ones(dims, candle_core::DType::F32, &Device::Cpu).unwrap())
    };
    let parameters = [
        ("augment_embedding.weight", one(&[3, 2]).unwrap(), 1.0),
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
    adam.step(1, iter(), &iter().map(zero).collect(), 0.1, is_decayed).unwrap();
    for (name, var, expected) in &parameters {
        let expected = (var.as_tensor().ones_like().unwrap() * *expected).unwrap();
        let error =
            (var.as_tensor() - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(error.to_scalar::<f32>().unwrap() < 1e-6, "{name}");
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
        let weights = loss_weights(LossWeighting::Late { lambda: 1.0 }, prediction, &schedule);
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

/// Under the weights, ln σ has the mean and deviation of the rule. Pure noise has no weight.
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
fn the_first_timestep_weighs_one_and_lambda_times_the_last() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    for lambda in [0.0, 0.5, 1.0, 4.0, 1000.0] {
        let weights = loss_weights(LossWeighting::Late { lambda }, Prediction::Epsilon, &schedule);
        let ratio = weights[0] / weights[999];
        assert!((ratio / (1.0 + lambda) - 1.0).abs() < 1e-12, "{lambda}: {ratio}");
        // Mean 1, so that the learning rate means the same under every λ.
        assert!((weights.iter().sum::<f64>() / 1000.0 - 1.0).abs() < 1e-12, "{lambda}");
    }
}

#[test]
fn weightings_are_read_by_the_name_that_they_print() {
    let others =
        [LossWeighting::LogNormal { mean: -0.1, deviation: 1.25 }, LossWeighting::Late { lambda: 2.5 }];
    for rule in WEIGHTINGS.into_iter().chain(others) {
        assert_eq!(rule.to_string().parse::<LossWeighting>().unwrap(), rule);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<LossWeighting>(&json).unwrap(), rule);
    }
    // Files of older versions have only the name.
    assert_eq!(LossWeighting::LogNormal { mean: 0.6, deviation: 0.8 }.to_string(), "log_normal");
    assert_eq!(LossWeighting::Late { lambda: 1.0 }.to_string(), "late");
    assert_eq!("late:1".parse::<LossWeighting>().unwrap(), LossWeighting::Late { lambda: 1.0 });
    for wrong in ["", "-1", "nan", "inf", "1001", "1:2", "one"] {
        let error = format!("late:{wrong}").parse::<LossWeighting>().unwrap_err();
        assert!(error.contains("late:LAMBDA") && error.contains("0 to 1000"), "{error}");
    }
    let error = "early".parse::<LossWeighting>().unwrap_err();
    assert!(error.contains("early") && error.contains("min_snr"), "{error}");
    for wrong in ["", "1", "1:0", "nan:1", "0:inf", "21:1", "0:1:2"] {
        let error = format!("log_normal:{wrong}").parse::<LossWeighting>().unwrap_err();
        assert!(error.contains("log_normal:MEAN:DEVIATION"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

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
}

/// Which classes there are is a matter of the labels: they may be far apart, and one may have a single image.
fn unequal_labels() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop::sample::select(vec![0u32, 0, 0, 0, 0, 3, 3, 7, 4_000_000_000]), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_balanced_round_shows_each_class_once(seed: u64, labels in unequal_labels(), round in 0u64..1 << 40) {
        let classes: BTreeSet<u32> = labels.iter().copied().collect();
        let mut order = DataOrder::balanced(seed, &labels);
        prop_assert_eq!(order.images(), labels.len());
        let first = round * classes.len() as u64;
        let round = first..first + classes.len() as u64;
        let seen: Vec<u32> = round.map(|index| labels[order.image(index)]).collect();
        prop_assert_eq!(seen.len(), classes.len());
        prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), classes);
    }

    #[test]
    fn a_balanced_order_shows_each_image_of_a_class_once_before_one_comes_again(
        seed: u64, labels in unequal_labels(), epoch in 0u64..1 << 30,
    ) {
        let classes: BTreeSet<u32> = labels.iter().copied().collect();
        let mut order = DataOrder::balanced(seed, &labels);
        for class in &classes {
            let images: BTreeSet<usize> = (0..labels.len()).filter(|&i| labels[i] == *class).collect();
            let (rounds, count) = (epoch * images.len() as u64, classes.len() as u64);
            let indices = rounds * count..(rounds + images.len() as u64) * count;
            let seen: Vec<usize> = indices.map(|i| order.image(i)).filter(|i| images.contains(i)).collect();
            prop_assert_eq!(seen.len(), images.len());
            prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), images);
        }
    }

    #[test]
    fn an_image_of_a_balanced_order_does_not_depend_on_what_was_asked_before(
        seed: u64, labels in unequal_labels(), indices in prop::collection::vec(0u64..500, 1..20),
    ) {
        let mut order = DataOrder::balanced(seed, &labels);
        for index in indices {
            prop_assert_eq!(order.image(index), DataOrder::balanced(seed, &labels).image(index));
        }
    }
}

/// 90 images of one class, 9 and 1 of two others.
#[test]
fn only_a_balanced_order_draws_classes_alike() {
    let labels: Vec<u32> = (0..100).map(|i| if i < 90 { 0 } else { 1 + u32::from(i == 99) }).collect();
    let counts = |mut order: DataOrder| {
        let mut counts = [0; 3];
        (0..300).for_each(|index| counts[labels[order.image(index)] as usize] += 1);
        counts
    };
    assert_eq!(counts(DataOrder::balanced(1, &labels)), [100, 100, 100]);
    assert_eq!(counts(DataOrder::new(1, 100)), [270, 27, 3]);
    assert_eq!(DataOrder::balanced(1, &[]).image(5), 0, "nothing to draw from, and no panic");
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

fn any_weighting() -> impl Strategy<Value = LossWeighting> {
    let late = (0.0f64..=1000.0).prop_map(|lambda| LossWeighting::Late { lambda });
    let log_normal = (-20.0f64..=20.0, 0.05f64..=20.0)
        .prop_map(|(mean, deviation)| LossWeighting::LogNormal { mean, deviation });
    prop_oneof![prop::sample::select(WEIGHTINGS.to_vec()), late, log_normal]
}

proptest! {
    #[test]
    fn a_loss_weighting_is_what_its_text_says(rule in any_weighting()) {
        let text = rule.to_string();
        prop_assert_eq!(text.parse(), Ok(rule));
        prop_assert_eq!(text.parse::<LossWeighting>().unwrap().to_string(), text);
    }

    #[test]
    fn no_text_of_a_loss_weighting_panics_or_reads_as_another(text in "[a-z_0-9:.\\-]{0,30}") {
        if let Ok(rule) = text.parse::<LossWeighting>() {
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }
}

#[test]
fn a_loss_weighting_out_of_its_range_is_refused_whoever_makes_it() {
    for rule in [
        LossWeighting::Late { lambda: -1.0 },
        LossWeighting::Late { lambda: f64::NAN },
        LossWeighting::LogNormal { mean: 0.0, deviation: 0.0 },
        LossWeighting::LogNormal { mean: f64::INFINITY, deviation: 1.0 },
    ] {
        assert!(rule.checked().is_err(), "{rule}");
    }
}
