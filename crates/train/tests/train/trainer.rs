//! Training steps of a tiny network.
use crate::common::{diffusion, network, options, saved, trainer, two_sides};
use candle_core::{DType, Device, Tensor};
use duet_data::Dataset;
use duet_model::{UNet, UNetConfig};
use duet_optim::{POWER_LENGTHS, ema_decay, power_exponent};
use duet_schedule::{BetaSchedule, Prediction};
use duet_train::{
    Batch, DataOrder, Diffusion, HeldOut, ImageDraws, LossWeighting, Optimizer, TimestepSampling, TrainError,
    TrainOptions, Trainer, held_out_loss, is_hidden_matrix, loss_weights,
};
use std::collections::{BTreeMap, HashMap};

const PREDICTIONS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];

fn batch(indices: &[usize]) -> Batch {
    Batch::from_dataset(&two_sides(8), indices, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn weights(trainer: &Trainer) -> BTreeMap<String, Vec<f32>> {
    trainer.parameters().iter().map(|(name, var)| (name.to_string(), values(var))).collect()
}

fn averages(trainer: &Trainer) -> BTreeMap<String, Vec<f32>> {
    let bytes = &saved(trainer)["unet/diffusion_pytorch_model.safetensors"];
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
    tensors.iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect()
}

/// The gradients of the only step so far, without clipping: m = (1 - β₁)·g.
fn gradients(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    let TrainOptions { optimizer, clip, .. } = trainer.options();
    assert_eq!((trainer.steps(), *optimizer, *clip), (1, Optimizer::AdamW, 1e9));
    let bytes = &saved(trainer)["training_state.safetensors"];
    let scale = 1.0 / (1.0 - trainer.options().betas[0]);
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap().into_iter();
    let moment =
        |(name, m): (String, Tensor)| Some((name.strip_prefix("adam_m.")?.into(), (m * scale).unwrap()));
    tensors.filter_map(moment).collect()
}

#[test]
fn the_first_step_changes_every_parameter_and_leaves_it_finite() {
    for attention in [false, true] {
        for prediction in PREDICTIONS {
            let config = network(attention);
            let mut trainer =
                Trainer::new(&config, &diffusion(prediction), &options(), &Device::Cpu).unwrap();
            let before = weights(&trainer);
            let report = trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
            assert_eq!((report.step, trainer.steps(), trainer.images_seen()), (1, 1, 6));
            assert!(report.loss > 0.0 && report.grad_norm > 0.0, "{report:?}");
            assert_eq!(report.learning_rate, 1e-2 / 3.0, "a quarter of 12 steps is the warm-up");
            for (name, after) in weights(&trainer) {
                assert!(after.iter().all(|w| w.is_finite()), "{name}");
                assert_ne!(after, before[&name], "{name} has not changed");
            }
        }
    }
}

/// The loss of a new trainer's first step, computed image by image from the documented draws.
fn first_loss_by_hand(trainer: &Trainer, batches: &[Batch]) -> f64 {
    let (options, schedule) = (trainer.options(), trainer.schedule());
    let prediction = trainer.diffusion().prediction;
    let weights = loss_weights(options.loss_weighting, prediction, schedule);
    let mut sum = 0.0;
    for index in 0..trainer.images_per_step() {
        let batch = &batches[index / options.batch];
        let draws = ImageDraws::new(options.seed, index as u64, schedule.len(), options.label_dropout);
        let image = values(&batch.images.get(index % options.batch).unwrap());
        let label = if draws.drops_label { 2 } else { batch.labels[index % options.batch] };
        let mut noise = vec![0f32; image.len()];
        ImageDraws::noise(options.seed, index as u64, &mut noise);
        let mix = |(of_image, of_noise): (f64, f64)| -> Vec<f32> {
            let pairs = image.iter().zip(&noise);
            pairs.map(|(&x, &e)| (of_image * f64::from(x) + of_noise * f64::from(e)) as f32).collect()
        };
        // In proportion to the weights: the timestep that contains this share of the total weight.
        let mut passed = 0.0;
        let passes = |weight: &f64| {
            passed += weight;
            passed > draws.share * weights.len() as f64
        };
        let (timestep, weight) = match options.timestep_sampling {
            TimestepSampling::Uniform => (draws.timestep, weights[draws.timestep]),
            TimestepSampling::Weighted => (weights.iter().position(passes).unwrap(), 1.0),
        };
        let a = schedule.alpha_bar(timestep);
        let x = Tensor::from_vec(mix((a.sqrt(), (1.0 - a).sqrt())), (1, 1, 8, 8), &Device::Cpu).unwrap();
        let t = Tensor::new(&[timestep as u32], &Device::Cpu).unwrap();
        let label = Tensor::new(&[label], &Device::Cpu).unwrap();
        let predicted = values(&trainer.unet().forward(&x, &t, Some(&label)).unwrap());
        let squares = mix(prediction.target_coefficients(a)).into_iter().zip(predicted);
        let squares = squares.map(|(target, predicted)| f64::from(target - predicted).powi(2));
        sum += weight * squares.sum::<f64>() / image.len() as f64;
    }
    sum / trainer.images_per_step() as f64
}

#[test]
fn the_loss_is_the_weighted_mean_square_of_target_minus_prediction() {
    let batches = [batch(&[0, 1, 2]), batch(&[3, 4, 5])];
    for prediction in PREDICTIONS {
        let (uniform, weighted) = (TimestepSampling::Uniform, TimestepSampling::Weighted);
        for (loss_weighting, timestep_sampling) in [
            (LossWeighting::Uniform, uniform),
            (LossWeighting::Late { lambda: 1.0 }, uniform),
            (LossWeighting::P2, uniform),
            (LossWeighting::Uniform, weighted),
            (LossWeighting::Noise, weighted),
        ] {
            let options = TrainOptions { loss_weighting, timestep_sampling, ..options() };
            let mut trainer =
                Trainer::new(&network(true), &diffusion(prediction), &options, &Device::Cpu).unwrap();
            let expected = first_loss_by_hand(&trainer, &batches);
            let loss = trainer.step(&batches).unwrap().loss;
            assert!(
                (loss / expected - 1.0).abs() < 1e-5,
                "{prediction} {loss_weighting}: {loss}, by hand {expected}"
            );
        }
    }
}

#[test]
fn the_loss_falls_on_a_set_that_is_trivial_to_learn() {
    let options = TrainOptions { steps: 60, accumulate: 1, batch: 8, label_dropout: 0.1, ..options() };
    for prediction in PREDICTIONS {
        let mut trainer =
            Trainer::new(&network(false), &diffusion(prediction), &options, &Device::Cpu).unwrap();
        let (dataset, mut order) = (two_sides(8), DataOrder::new(1, 8));
        let losses: Vec<f64> = (0..60).map(|_| trainer.step_on(&dataset, &mut order).unwrap().loss).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..10]), mean(&losses[50..]));
        assert!(last < first / 2.0, "{prediction}: {first} at first, {last} at last");
    }
}

#[test]
fn accumulated_gradients_are_those_of_one_large_batch() {
    let adamw = TrainOptions { clip: 1e9, optimizer: Optimizer::AdamW, ..options() };
    let whole = TrainOptions { batch: 6, accumulate: 1, ..adamw.clone() };
    let parts = TrainOptions { batch: 3, accumulate: 2, ..adamw };
    let (mut whole, mut parts) = (trainer(&whole), trainer(&parts));
    let of_whole = whole.step(&[batch(&[0, 1, 2, 3, 4, 5])]).unwrap();
    let of_parts = parts.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
    assert!((of_whole.loss - of_parts.loss).abs() <= 1e-5 * of_whole.loss);
    assert!((of_whole.grad_norm - of_parts.grad_norm).abs() <= 1e-5 * of_whole.grad_norm);
    let of_parts = gradients(&parts);
    for (name, gradient) in gradients(&whole) {
        let difference = (&gradient - &of_parts[&name]).unwrap();
        let largest = |t: &Tensor| values(t).iter().fold(0f32, |m, v| m.max(v.abs()));
        let error = largest(&difference);
        assert!(error <= 1e-5 * largest(&gradient).max(1e-3), "{name}: {error:e}");
    }
}

#[test]
fn a_step_on_a_data_set_takes_its_images_in_the_order_of_the_epoch() {
    let (dataset, mut order) = (two_sides(8), DataOrder::new(3, 8));
    let (mut by_set, mut by_hand) = (trainer(&options()), trainer(&options()));
    for step in 0..3u64 {
        let mut order_by_hand = DataOrder::new(3, 8);
        let indices: Vec<usize> = (step * 6..step * 6 + 6).map(|i| order_by_hand.image(i)).collect();
        let report = by_hand.step(&[batch(&indices[..3]), batch(&indices[3..])]).unwrap();
        assert_eq!(by_set.step_on(&dataset, &mut order).unwrap(), report);
    }
    assert_eq!(weights(&by_set), weights(&by_hand));
}

#[test]
fn each_parameter_has_the_moments_of_one_optimizer() {
    for (optimizer, of_muon) in [(Optimizer::Muon, true), (Optimizer::AdamW, false)] {
        let trainer = trainer(&TrainOptions { optimizer, ..options() });
        let bytes = &saved(&trainer)["training_state.safetensors"];
        let state = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
        for (name, var) in trainer.parameters().iter() {
            let muon = of_muon && is_hidden_matrix(name, var.rank());
            for (prefix, there) in [("muon_m", muon), ("adam_m", !muon), ("adam_v", !muon)] {
                assert_eq!(
                    state.contains_key(&format!("{prefix}.{name}")),
                    there,
                    "{optimizer:?} {prefix} {name}"
                );
            }
        }
        assert_eq!(state.keys().any(|name| name.starts_with("muon_m.")), of_muon);
    }
}

fn refusal(trainer: &mut Trainer, batches: &[Batch]) -> String {
    let before = saved(trainer);
    let error = trainer.step(batches).expect_err("the batch should be refused").to_string();
    assert!(saved(trainer) == before, "{error}: the trainer has changed");
    error
}

/// Label 2 is the null label: it is a row of the table, but not a class.
#[test]
fn a_label_out_of_range_is_refused_wherever_it_stands_and_changes_nothing() {
    let mut trainer = trainer(&options());
    for label in [2, 3, u32::MAX] {
        for position in 0..6 {
            let mut batches = [batch(&[0, 1, 2]), batch(&[3, 4, 5])];
            batches[position / 3].labels[position % 3] = label;
            let error = refusal(&mut trainer, &batches);
            assert_eq!(error, format!("label {label}: the network has 2 classes"));
        }
    }
}

#[test]
fn batches_of_another_size_than_the_options_say_are_refused_and_change_nothing() {
    let mut trainer = trainer(&options());
    assert!(refusal(&mut trainer, &[]).contains("0 batches for accumulate = 2"));
    assert!(refusal(&mut trainer, &[batch(&[0, 1, 2])]).contains("1 batches for accumulate = 2"));
    let error = refusal(&mut trainer, &[batch(&[0, 1, 2]), batch(&[0, 1])]);
    assert!(error.contains("2 images for batch = 3"), "{error}");
    let mut short = batch(&[0, 1, 2]);
    short.labels.pop();
    assert!(refusal(&mut trainer, &[batch(&[0, 1, 2]), short]).contains("2 labels for 3 images"));
}

#[test]
fn images_that_do_not_fit_the_network_are_refused_and_change_nothing() {
    let mut trainer = trainer(&TrainOptions { accumulate: 1, ..options() });
    for shape in [(3, 1, 7, 8), (3, 2, 8, 8), (3, 1, 0, 0), (3, 0, 8, 8)] {
        let images = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        refusal(&mut trainer, &[Batch { images, labels: vec![0; 3] }]);
    }
    let images = Tensor::zeros((3, 64), DType::F32, &Device::Cpu).unwrap();
    refusal(&mut trainer, &[Batch { images, labels: vec![0; 3] }]);
}

#[test]
fn images_that_are_not_finite_stop_the_run_with_step_and_timesteps_and_change_nothing() {
    let good = [batch(&[0, 1, 2]), batch(&[3, 4, 5])];
    for bad_value in [f32::NAN, f32::INFINITY, f32::MAX] {
        let (mut trainer, mut untouched) = (trainer(&options()), crate::common::trainer(&options()));
        trainer.step(&good).unwrap();
        untouched.step(&good).unwrap();
        let before = saved(&trainer);
        let mut bad = good.clone();
        let mut images = values(&bad[1].images);
        images[100] = bad_value;
        bad[1].images = Tensor::from_vec(images, (3, 1, 8, 8), &Device::Cpu).unwrap();
        let error = trainer.step(&bad).unwrap_err();
        let message = error.to_string();
        let TrainError::Diverged { step, what, timesteps, learning_rate, .. } = error else {
            panic!("{message}")
        };
        let drawn: Vec<usize> = (6..12).map(|index| ImageDraws::new(7, index, 1000, 0.3).timestep).collect();
        assert_eq!((step, what, &timesteps), (2, "loss", &drawn));
        assert_eq!(learning_rate, trainer.learning_rate().at(1));
        assert!(message.contains("step 2") && message.contains(&format!("{drawn:?}")), "{message}");
        assert!(saved(&trainer) == before, "{bad_value}: weights, averages or moments have changed");
        assert_eq!(trainer.step(&good).unwrap(), untouched.step(&good).unwrap());
    }
}

/// The last layer is so steep, and the norm before it so flat, that the squared error fits f32 but its
/// gradient does not.
#[test]
fn a_gradient_that_overflows_stops_the_run_and_changes_nothing() {
    let mut trainer = trainer(&TrainOptions { accumulate: 1, ..options() });
    for (name, value) in [("conv_out.weight", 1e27), ("conv_norm_out.weight", 1e-10)] {
        let var = trainer.parameters().get(name).unwrap();
        var.set(&(var.as_tensor().ones_like().unwrap().detach() * value).unwrap()).unwrap();
    }
    let before = saved(&trainer);
    let error = trainer.step(&[batch(&[0, 1, 2])]).unwrap_err();
    let TrainError::Diverged { step: 1, what: "gradient", loss, .. } = error else { panic!("{error}") };
    assert!(loss.is_finite());
    assert!(saved(&trainer) == before);
}

#[test]
fn options_out_of_their_range_are_refused_by_name_and_value() {
    let refused = |name: &str, change: &dyn Fn(&mut TrainOptions)| {
        let mut options = options();
        change(&mut options);
        let new = Trainer::new(&network(false), &diffusion(Prediction::V), &options, &Device::Cpu);
        let error = new.expect_err(name).to_string();
        assert!(error.starts_with(&format!("{name} = ")) && error.contains("must be"), "{error}");
    };
    refused("steps", &|o| o.steps = 0);
    refused("batch", &|o| o.batch = 0);
    refused("accumulate", &|o| o.accumulate = 0);
    for bad in [f64::NAN, f64::INFINITY, -0.1] {
        refused("learning_rate", &|o| o.learning_rate = bad);
        refused("warmup", &|o| o.warmup = bad);
        refused("final_learning_rate", &|o| o.final_learning_rate = bad);
        refused("weight_decay", &|o| o.weight_decay = bad);
        refused("betas[0]", &|o| o.betas[0] = bad);
        refused("betas[1]", &|o| o.betas[1] = bad);
        refused("clip", &|o| o.clip = bad);
        refused("label_dropout", &|o| o.label_dropout = bad);
        refused("ema_decay", &|o| o.ema_decay = bad);
    }
    refused("learning_rate", &|o| o.learning_rate = 0.0);
    refused("clip", &|o| o.clip = 0.0);
    refused("warmup", &|o| o.warmup = 1.01);
    refused("label_dropout", &|o| o.label_dropout = 1.01);
    refused("betas[1]", &|o| o.betas[1] = 1.0);
    refused("ema_decay", &|o| o.ema_decay = 1.0);
}

#[test]
fn options_at_the_ends_of_their_ranges_train() {
    let low = TrainOptions {
        steps: 1,
        warmup: 0.0,
        final_learning_rate: 0.0,
        weight_decay: 0.0,
        betas: [0.0, 0.0],
        label_dropout: 0.0,
        ema_decay: 0.0,
        ..options()
    };
    let high =
        TrainOptions { steps: 1, warmup: 1.0, final_learning_rate: 1.0, label_dropout: 1.0, ..low.clone() };
    for options in [low, high] {
        let mut trainer = trainer(&options);
        trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
        assert!(weights(&trainer).values().flatten().all(|w| w.is_finite()));
    }
}

/// The network has no dropout layers, and fourier's logarithm has no value at t = 0. If these settings were
/// ignored, the file would be wrong.
#[test]
fn a_network_that_cannot_be_trained_here_is_refused_by_its_key() {
    let fourier = || "fourier".to_string();
    let learned = || "learned".to_string();
    let cases = [
        (UNetConfig { dropout: 0.1, ..network(false) }, "dropout = 0.1"),
        (UNetConfig { out_channels: 2, ..network(false) }, "out_channels = 2"),
        (
            UNetConfig { time_embedding_type: fourier(), ..network(false) },
            "time_embedding_type = \"fourier\"",
        ),
        (
            UNetConfig { time_embedding_type: learned(), num_train_timesteps: Some(3), ..network(false) },
            "num_train_timesteps = 3",
        ),
    ];
    for (config, expected) in cases {
        let new = Trainer::new(&config, &diffusion(Prediction::V), &options(), &Device::Cpu);
        let error = new.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn epsilon_is_refused_at_zero_terminal_snr_and_warned_of_near_it() {
    let zero = |prediction| Diffusion { zero_terminal_snr: true, ..diffusion(prediction) };
    let new = |diffusion| Trainer::new(&network(false), &diffusion, &options(), &Device::Cpu);
    assert!(matches!(new(zero(Prediction::Epsilon)).unwrap_err(), TrainError::Schedule(_)));
    let cosine = |prediction| Diffusion { schedule: BetaSchedule::Cosine, ..diffusion(prediction) };
    assert!(cosine(Prediction::Epsilon).warning().unwrap().unwrap().contains("epsilon"));
    assert_eq!(diffusion(Prediction::Epsilon).warning().unwrap(), None);
    for prediction in [Prediction::V, Prediction::X0] {
        assert_eq!(cosine(prediction).warning().unwrap(), None);
        let mut trainer = new(zero(prediction)).unwrap();
        assert!(trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap().loss.is_finite());
    }
}

#[test]
fn a_range_of_betas_is_refused_where_the_schedule_has_none() {
    let linear = Diffusion { beta_end: Some(0.03), ..diffusion(Prediction::Epsilon) };
    assert_eq!(linear.beta_range().unwrap(), Some((1e-4, 0.03)));
    let cosine = Diffusion { schedule: BetaSchedule::Cosine, ..linear.clone() };
    let error = cosine.noise_schedule().unwrap_err().to_string();
    assert!(error.contains("beta_end") && error.contains("\"cosine\""), "{error}");
    let above = Diffusion { beta_end: Some(1.0), ..linear };
    assert!(above.noise_schedule().unwrap_err().to_string().contains("beta_end"));
}

/// The class embedding has no weight decay, so that a row without gradient stays as it is.
#[test]
fn dropped_labels_train_the_null_row_and_kept_labels_their_own() {
    let rows = |label_dropout: f64| {
        let optimizer = Optimizer::AdamW;
        let options = TrainOptions { label_dropout, clip: 1e9, optimizer, ..options() };
        let mut trainer = trainer(&options);
        let width = network(false).time_width();
        let table = |trainer: &Trainer| weights(trainer).remove("class_embedding.weight").unwrap();
        let before = table(&trainer);
        // Class 1 alone.
        trainer.step(&[batch(&[1, 3, 5]), batch(&[7, 1, 3])]).unwrap();
        let gradient = values(&gradients(&trainer)["class_embedding.weight"]);
        let trained: Vec<bool> = gradient.chunks(width).map(|row| row.iter().any(|g| *g != 0.0)).collect();
        let after = table(&trainer);
        let pairs = before.chunks(width).zip(after.chunks(width));
        let moved: Vec<bool> = pairs.map(|(before, after)| before != after).collect();
        assert_eq!(trained, moved, "a row moves where it has a gradient");
        trained
    };
    assert_eq!(rows(1.0), [false, false, true]);
    assert_eq!(rows(0.0), [false, true, false]);
}

#[test]
fn a_network_without_classes_trains_without_labels() {
    let config = UNetConfig { num_class_embeds: None, ..network(false) };
    let mut trainer = Trainer::new(&config, &diffusion(Prediction::V), &options(), &Device::Cpu).unwrap();
    let unlabelled = |indices: &[usize]| Batch { labels: Vec::new(), ..batch(indices) };
    let report = trainer.step(&[unlabelled(&[0, 1, 2]), unlabelled(&[3, 4, 5])]).unwrap();
    assert!(report.loss.is_finite());
}

#[test]
fn the_average_lags_behind_the_weights() {
    let mut trainer = trainer(&options());
    let mut expected = weights(&trainer);
    assert_eq!(averages(&trainer), expected, "it starts at the weights");
    for step in 1..=4 {
        trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
        let decay = ema_decay(0.99, step) as f32;
        let now = weights(&trainer);
        for (name, average) in averages(&trainer) {
            let expected = expected.get_mut(&name).unwrap();
            for ((e, w), a) in expected.iter_mut().zip(&now[&name]).zip(&average) {
                *e = decay * *e + (1.0 - decay) * w;
                assert!((*e - a).abs() <= 1e-6, "{name} after step {step}: {a}, expected {e}");
            }
        }
    }
    assert_ne!(averages(&trainer), weights(&trainer));
}

/// Every step's weights, weighed by the power of the step.
#[test]
fn snapshots_are_averages_of_a_relative_length() {
    assert!(trainer(&TrainOptions { ema_snapshots: 0, ..options() }).power_averages().is_empty());
    let mut trainer = trainer(&options());
    let mut sums: HashMap<String, Vec<f64>> = HashMap::new();
    let steps = 6;
    for step in 1..=steps {
        trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
        for length in POWER_LENGTHS {
            let power = power_exponent(length).unwrap() + 1.0;
            let part = |step: u64| (step as f64 / f64::from(steps as u32)).powf(power);
            for (name, weights) in weights(&trainer) {
                let sum = sums.entry(format!("{length}.{name}")).or_insert(vec![0.0; weights.len()]);
                for (sum, weight) in sum.iter_mut().zip(weights) {
                    *sum += (part(step) - part(step - 1)) * f64::from(weight);
                }
            }
        }
    }
    let averages = trainer.power_averages();
    assert_eq!(averages.len(), sums.len());
    for (name, average) in averages {
        let average = average.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (a, sum) in average.into_iter().zip(&sums[&name]) {
            assert!((f64::from(a) - sum).abs() <= 1e-5, "{name}: {a}, expected {sum}");
        }
    }
}

#[test]
fn without_decay_the_average_is_the_weights() {
    let mut trainer = trainer(&TrainOptions { ema_decay: 0.0, ..options() });
    trainer.step(&[batch(&[0, 1, 2]), batch(&[3, 4, 5])]).unwrap();
    assert_eq!(averages(&trainer), weights(&trainer));
}

#[test]
fn options_survive_json_and_an_unknown_one_is_refused() {
    let json = serde_json::to_string(&options()).unwrap();
    assert_eq!(serde_json::from_str::<TrainOptions>(&json).unwrap(), options());
    let unknown = json.replacen("\"seed\"", "\"sead\":1,\"seed\"", 1);
    assert!(serde_json::from_str::<TrainOptions>(&unknown).unwrap_err().to_string().contains("sead"));
    let json = serde_json::to_string(&diffusion(Prediction::V)).unwrap();
    assert_eq!(serde_json::from_str::<Diffusion>(&json).unwrap(), diffusion(Prediction::V));
}

fn held_out(unet: &UNet, dataset: &Dataset, prediction: Prediction, options: HeldOut) -> f64 {
    let diffusion = diffusion(prediction);
    let schedule = diffusion.noise_schedule().unwrap();
    held_out_loss(unet, dataset, &diffusion, &schedule, options, &Device::Cpu).unwrap()
}

#[test]
fn the_held_out_loss_depends_on_the_network_and_not_on_the_portions() {
    let (unet, _) = UNet::seeded(&network(true), 1, &Device::Cpu).unwrap();
    let (other, _) = UNet::seeded(&network(true), 2, &Device::Cpu).unwrap();
    let loss = |unet: &UNet, batch: usize| {
        held_out(unet, &two_sides(20), Prediction::V, HeldOut { images: 13, batch })
    };
    assert_eq!(loss(&unet, 5), loss(&unet, 5));
    for batch in [1, 4, 13, 100] {
        let ratio = loss(&unet, batch) / loss(&unet, 5);
        assert!((ratio - 1.0).abs() < 1e-6, "in portions of {batch}: {ratio}");
    }
    assert_ne!(loss(&unet, 5), loss(&other, 5));
}

#[test]
fn the_held_out_loss_sees_the_images_asked_for_and_no_others() {
    let (unet, _) = UNet::seeded(&network(false), 1, &Device::Cpu).unwrap();
    let loss = |dataset: &Dataset, images: usize| {
        held_out(&unet, dataset, Prediction::X0, HeldOut { images, batch: 4 })
    };
    assert_eq!(loss(&two_sides(20), 6), loss(&two_sides(6), 6));
    assert_eq!(loss(&two_sides(6), 1000), loss(&two_sides(6), 6), "at most all");
    assert_ne!(loss(&two_sides(20), 7), loss(&two_sides(20), 6));
}

/// Its prediction is 0, so that the loss is the mean square of the target: of the images for x_0,
/// of the noise for ε (1, within five standard deviations √(2/n)).
#[test]
fn the_held_out_loss_of_a_network_that_predicts_zero_is_the_mean_square_of_the_target() {
    let (unet, parameters) = UNet::seeded(&network(false), 1, &Device::Cpu).unwrap();
    for name in ["conv_out.weight", "conv_out.bias"] {
        let var = parameters.get(name).unwrap();
        var.set(&var.as_tensor().zeros_like().unwrap().detach()).unwrap();
    }
    let dataset = two_sides(30);
    let all = HeldOut { images: 30, batch: 7 };
    let squares: f64 = (0..30)
        .flat_map(|i| {
            dataset.pixels(i).bytes().unwrap().iter().map(|&v| (f64::from(v) / 127.5 - 1.0).powi(2))
        })
        .sum::<f64>();
    let n = 30.0 * 64.0;
    let loss = held_out(&unet, &dataset, Prediction::X0, all);
    assert!((loss / (squares / n) - 1.0).abs() < 1e-6, "{loss}");
    let loss = held_out(&unet, &dataset, Prediction::Epsilon, all);
    assert!((loss - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{loss}");
}

#[test]
fn a_held_out_loss_of_no_images_is_refused() {
    let (unet, _) = UNet::seeded(&network(false), 1, &Device::Cpu).unwrap();
    let diffusion = diffusion(Prediction::V);
    let schedule = diffusion.noise_schedule().unwrap();
    for (dataset, images, batch) in [(two_sides(4), 0, 2), (two_sides(4), 4, 0), (two_sides(0), 4, 2)] {
        let options = HeldOut { images, batch };
        let loss = held_out_loss(&unet, &dataset, &diffusion, &schedule, options, &Device::Cpu);
        assert!(matches!(loss, Err(TrainError::Option(_))), "{options:?}");
    }
}
