//! The network on the kernels' tape against the same network as a candle graph.
use crate::networks::{networks, one_level, plain};
use candle_core::{Device, Tensor};
use duet_kernels::{InstructionSet, with_instruction_set};
use duet_model::{
    AUGMENT_EMBEDDING, Memory, NetworkInputs, Parameters, Purpose, UNet, UNetConfig, ValueAndGradients,
};
use std::ops::Range;

const CPU: Device = Device::Cpu;

struct Case {
    unet: UNet,
    parameters: Parameters,
    x: Tensor,
    t: Tensor,
    labels: Option<Tensor>,
    augment_labels: Option<Tensor>,
    target: Tensor,
}

fn case(config: &UNetConfig, images: usize) -> Case {
    sized_case(config, images, (12, 20))
}

fn sized_case(config: &UNetConfig, images: usize, (height, width): (usize, usize)) -> Case {
    let (unet, parameters) = UNet::seeded(config, 0, &CPU).unwrap();
    let noise = |seed| {
        let mut values = vec![0f32; images * 2 * height * width];
        duet_random::Draws::new(seed, "snapshot test", 0).fill_normal(&mut values);
        Tensor::from_vec(values, (images, 2, height, width), &CPU).unwrap()
    };
    let t: Vec<u32> = (0..images as u32).map(|i| i * 97 % 1000).collect();
    let labels: Vec<u32> = (0..images as u32).map(|i| i % 4).collect();
    Case {
        unet,
        parameters,
        x: noise(0),
        t: Tensor::new(t, &CPU).unwrap(),
        labels: config.num_class_embeds.map(|_| Tensor::new(labels, &CPU).unwrap()),
        augment_labels: None,
        target: noise(1),
    }
}

impl Case {
    fn inputs(&self) -> NetworkInputs<'_> {
        NetworkInputs {
            x: &self.x,
            t: &self.t,
            labels: self.labels.as_ref(),
            augment_labels: self.augment_labels.as_ref(),
        }
    }

    /// Half the squared error, and its gradients.
    fn value_and_gradients(&self) -> ValueAndGradients {
        let objective = |range: Range<usize>, y: &Tensor| {
            let error = (y - self.target.narrow(0, range.start, range.len())?)?;
            Ok((0.5 * f64::from(error.sqr()?.sum_all()?.to_scalar::<f32>()?), error))
        };
        self.unet.value_and_gradients(&self.parameters, &self.inputs(), objective).unwrap()
    }

    fn predict(&self) -> Vec<f32> {
        let snapshot = self.unet.snapshot(Purpose::Prediction).unwrap();
        values(&snapshot.predict(&self.x, &self.t, self.labels.as_ref()).unwrap())
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, actual: &[f32], expected: &[f32]) {
    // The gradient of a key's bias is zero in exact arithmetic: softmax ignores a shift.
    let floor = if what.ends_with("to_k.bias") { 1f32 } else { 1e-3 };
    let scale = expected.iter().fold(floor, |m, v| m.max(v.abs()));
    let worst = actual.iter().zip(expected).fold(0f32, |m, (a, e)| m.max((a - e).abs()));
    assert!(worst <= 1e-4 * scale, "{what}: {worst:e} of {scale:e}");
}

fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

/// The same case for a network of the same seed that is told five numbers of each image; none where nothing
/// is told.
fn told_case(config: &UNetConfig, images: usize, scale: Option<f64>) -> Case {
    let (unet, parameters) = UNet::seeded_with_augment_labels(config, 5, 0, &CPU).unwrap();
    let told = |scale: f64| {
        let mut values = vec![0f32; images * 5];
        duet_random::Draws::new(0, "told", 0).fill_normal(&mut values);
        (Tensor::from_vec(values, (images, 5), &CPU).unwrap() * scale).unwrap()
    };
    Case { unet, parameters, augment_labels: scale.map(told), ..case(config, images) }
}

#[test]
fn tape_and_graph_agree_in_predictions_and_all_gradients() {
    let plain = networks().into_iter().map(|(name, config)| (name, case(&config, 11)));
    let told = networks().into_iter().map(|(name, config)| (name, told_case(&config, 11, Some(1.0))));
    for (name, case) in plain.chain(told) {
        let y = case.unet.forward_of(&case.inputs()).unwrap();
        if case.augment_labels.is_none() {
            assert_close(name, &case.predict(), &values(&y));
        }
        let loss = ((y - &case.target).unwrap().sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
        let grads = loss.backward().unwrap();
        let (value, gradients) = case.value_and_gradients();
        let loss = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((value / loss - 1.0).abs() < 1e-5, "{name}: {value}, {loss}");
        assert_eq!(gradients.len(), case.parameters.len());
        for (parameter, var) in case.parameters.iter() {
            let expected = values(grads.get(var).unwrap());
            assert_eq!(gradients[parameter].dims(), var.dims());
            assert_close(parameter, &values(&gradients[parameter]), &expected);
        }
    }
}

/// So a network that was told of augmentations is drawn from, saved and exported without the layer.
#[test]
fn augment_labels_of_zero_change_no_bit_and_others_do() {
    for (name, config) in networks() {
        let without = case(&config, 11);
        let bits = |case: &Case| {
            let bits = |tensor: &Tensor| values(tensor).into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let (value, mut gradients) = case.value_and_gradients();
            gradients.remove(AUGMENT_EMBEDDING);
            let gradients: Vec<_> = gradients.iter().map(|(name, g)| (name.clone(), bits(g))).collect();
            (bits(&case.unet.forward_of(&case.inputs()).unwrap()), value.to_bits(), gradients)
        };
        assert!(bits(&told_case(&config, 11, Some(0.0))) == bits(&without), "{name}");
        assert!(bits(&told_case(&config, 11, Some(1.0))) != bits(&without), "{name}");
        let untold = told_case(&config, 11, None);
        let predicted = untold.unet.forward_of(&untold.inputs()).unwrap();
        assert_eq!(
            values(&predicted),
            values(&without.unet.forward_of(&without.inputs()).unwrap()),
            "{name}"
        );
        assert_eq!(untold.predict(), without.predict(), "{name}");
        assert_eq!(untold.parameters.len(), without.parameters.len() + 1, "{name}");
    }
}

/// Central differences of the objective by each weight of the layer.
#[test]
fn the_gradient_of_the_augment_embedding_is_that_of_finite_differences() {
    let case = told_case(&plain(), 3, Some(1.0));
    let var = case.parameters.get(AUGMENT_EMBEDDING).unwrap();
    let (weights, gradient) = (values(var), values(&case.value_and_gradients().1[AUGMENT_EMBEDDING]));
    let largest = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
    assert!(largest > 1e-2, "{largest}");
    let value_with = |i: usize, step: f32| {
        let mut moved = weights.clone();
        moved[i] += step;
        var.set(&Tensor::from_vec(moved, var.shape(), &CPU).unwrap()).unwrap();
        case.value_and_gradients().0
    };
    for i in (0..weights.len()).step_by(7) {
        let step = 1e-2;
        let slope = (value_with(i, step) - value_with(i, -step)) / f64::from(2.0 * step);
        let error = (slope - f64::from(gradient[i])).abs();
        assert!(error < 0.02 * f64::from(largest), "weight {i}: {slope}, by the tape {}", gradient[i]);
    }
}

#[test]
fn augment_labels_that_do_not_fit_are_refused() {
    let error = |case: &Case| case.unet.forward_of(&case.inputs()).unwrap_err().to_string();
    let told = Tensor::zeros((3, 4), candle_core::DType::F32, &CPU).unwrap();
    let none = Case { augment_labels: Some(told.clone()), ..case(&plain(), 3) };
    assert!(error(&none).contains("takes no augment labels"), "{}", error(&none));
    let other = Case { augment_labels: Some(told), ..told_case(&plain(), 3, None) };
    assert!(error(&other).contains("[3, 4] F32, expected [3, 5]"), "{}", error(&other));
    let untold = told_case(&plain(), 3, None);
    let objective = |_: Range<usize>, y: &Tensor| Ok((0.0, y.clone()));
    let error = untold.unet.value_and_gradients(&untold.parameters, &untold.inputs(), objective);
    assert!(error.unwrap_err().to_string().contains(AUGMENT_EMBEDDING));
}

#[test]
fn every_instruction_set_predicts_the_same_within_rounding() {
    for (name, config) in networks() {
        let case = case(&config, 2);
        let expected = values(&case.unet.forward(&case.x, &case.t, case.labels.as_ref()).unwrap());
        for set in [InstructionSet::Portable, InstructionSet::Vector] {
            // One thread, which is this one: the choice holds on the thread that makes it.
            let predicted = on_threads(1, || with_instruction_set(set, || case.predict()));
            assert_close(name, &predicted, &expected);
        }
    }
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    for (name, config) in networks() {
        let case = case(&config, 20);
        let on = |threads| {
            let (value, gradients) = on_threads(threads, || case.value_and_gradients());
            (value, gradients.into_iter().map(|(name, grad)| (name, values(&grad))).collect::<Vec<_>>())
        };
        let one = on(1);
        assert!(one == on(2) && one == on(3), "{name}");
    }
}

#[test]
fn a_snapshot_keeps_the_weights_of_its_moment() {
    let case = case(&plain(), 1);
    let snapshot = case.unet.snapshot(Purpose::Prediction).unwrap();
    let predict = || values(&snapshot.predict(&case.x, &case.t, case.labels.as_ref()).unwrap());
    let before = predict();
    for (_, var) in case.parameters.iter() {
        var.set(&(var.as_tensor() * 2.0).unwrap()).unwrap();
    }
    assert_eq!(predict(), before);
    assert_ne!(case.predict(), before);
}

#[test]
fn multiply_adds_are_counted_as_direct_sums() {
    let config = one_level(UNetConfig { in_channels: 1, out_channels: 1, ..plain() });
    let (unet, _) = UNet::seeded(&config, 0, &CPU).unwrap();
    // conv_in, a residual block, two over joined features with shortcuts, conv_out; the time
    // embedding 8 → 32 → 32 and its three projections to 8.
    let pixels = 10 * 10;
    let convolutions = pixels * 9 * (8 + 2 * 64 + 2 * (128 + 64) + 8) + pixels * 2 * 128;
    assert_eq!(unet.multiply_adds(10, 10).unwrap(), convolutions + 8 * 32 + 32 * 32 + 3 * 32 * 8);
}

/// The two passes of guidance, or the passes for several classes, share what comes before the first time term.
#[test]
fn copies_of_an_image_are_predicted_as_if_each_were_alone() {
    let modulated = UNetConfig { resnet_time_scale_shift: "scale_shift".into(), ..plain() };
    for (name, config) in networks().into_iter().chain([("modulated", modulated)]) {
        for (images, copies) in [(1, 2), (3, 2), (5, 2), (2, 3), (1, 8), (2, 9)] {
            let batch = images * copies;
            let one = case(&config, batch);
            let x = one.x.narrow(0, 0, images).unwrap().repeat((copies, 1, 1, 1)).unwrap();
            let case = Case { x, ..one };
            let alone = |i: usize| {
                let snapshot = case.unet.snapshot(Purpose::Prediction).unwrap();
                let row = |tensor: &Tensor| tensor.narrow(0, i, 1).unwrap();
                values(
                    &snapshot
                        .predict(&row(&case.x), &row(&case.t), case.labels.as_ref().map(row).as_ref())
                        .unwrap(),
                )
            };
            let each: Vec<f32> = (0..batch).flat_map(alone).collect();
            for threads in [1, 2, 3] {
                let together = on_threads(threads, || case.predict());
                assert!(together == each, "{name}: {copies} copies of {images} images on {threads} threads");
            }
        }
    }
}

#[test]
fn low_memory_gives_the_same_gradients_bit_for_bit() {
    for (name, config) in networks() {
        let mut case = case(&config, 11);
        let gradients = |case: &Case| {
            let (value, gradients) = case.value_and_gradients();
            (value.to_bits(), gradients.into_iter().map(|(name, g)| (name, values(&g))).collect::<Vec<_>>())
        };
        let normal = gradients(&case);
        case.unet.use_memory(Memory::Low);
        assert!(gradients(&case) == normal, "{name}");
    }
}

/// So that memory does not grow with their pixels.
#[test]
fn few_large_images_at_once_agree_with_the_graph_and_do_not_depend_on_threads() {
    for (name, config) in networks() {
        assert_eq!(config.footprint(64, 40).unwrap().images_at_once, 2);
        let case = sized_case(&config, 11, (64, 40));
        let y = case.unet.forward_of(&case.inputs()).unwrap();
        assert_close(name, &case.predict(), &values(&y));
        let loss = ((y - &case.target).unwrap().sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
        let grads = loss.backward().unwrap();
        let (_, gradients) = on_threads(1, || case.value_and_gradients());
        let (_, on_two) = on_threads(2, || case.value_and_gradients());
        for (parameter, var) in case.parameters.iter() {
            let gradient = values(&gradients[parameter]);
            assert_close(parameter, &gradient, &values(grads.get(var).unwrap()));
            assert!(gradient == values(&on_two[parameter]), "{name}: {parameter}");
        }
    }
}

#[test]
fn what_training_takes_is_counted_without_making_the_network() {
    let config = UNetConfig { block_out_channels: vec![1 << 12, 1 << 13], ..plain() };
    let footprint = config.footprint(32, 32).unwrap();
    assert_eq!(footprint.images_at_once, 8);
    assert_eq!(footprint.parameters, 4 * config.parameter_count().unwrap());
    let peak = |batch, threads, memory| footprint.peak(4, batch, threads, memory);
    let normal = peak(16, 1, Memory::Normal);
    assert!(normal > 5 * footprint.parameters + footprint.forms.0 + footprint.feature_maps);
    assert!(peak(16, 1, Memory::Low) < normal && peak(8, 1, Memory::Normal) < normal);
    // Two chunks are on two threads, and a single image is on one.
    assert!(normal < peak(16, 2, Memory::Normal));
    assert!(peak(8, 1, Memory::Normal) < peak(8, 2, Memory::Normal));
    assert_eq!(peak(1, 1, Memory::Normal), peak(1, 2, Memory::Normal));
    assert!(config.footprint(33, 32).is_err());
}

/// What several processes send of a step's gradients, block by block.
#[test]
fn groups_are_ready_in_order_and_together_they_are_the_whole() {
    for (name, config) in networks() {
        let case = case(&config, 20);
        let (value, expected) = case.value_and_gradients();
        let groups = case.unet.groups(&case.parameters);
        assert_eq!(groups.len(), config.block_out_channels.len() + 1);
        let names: Vec<_> = groups.iter().flatten().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), case.parameters.iter().count(), "{name}: each parameter is in one group");
        let objective = |range: Range<usize>, y: &Tensor| {
            let error = (y - case.target.narrow(0, range.start, range.len())?)?;
            Ok((0.5 * f64::from(error.sqr()?.sum_all()?.to_scalar::<f32>()?), error))
        };
        let order = std::sync::Mutex::new(Vec::new());
        let chunks: Vec<_> = duet_model::chunks(20, 1).into_iter().enumerate().collect();
        let found = duet_model::whole_gradients(&groups, |ready| {
            let noted = |group, sum| {
                order.lock().unwrap().push(group);
                ready(group, sum)
            };
            case.unet.partial_gradients(&case.inputs(), (&chunks, chunks.len()), objective, noted)
        });
        let (whole, gradients) = found.unwrap();
        assert_eq!(order.into_inner().unwrap(), (0..groups.len()).collect::<Vec<_>>());
        assert_eq!(whole, value);
        for (parameter, gradient) in &expected {
            assert!(values(gradient) == values(&gradients[parameter]), "{name}: {parameter}");
        }
    }
}

/// A step is shared by two threads, whatever its batch; and each of its images is in one chunk.
#[test]
fn every_batch_of_two_or_more_has_two_chunks() {
    for batch in 1..=40 {
        for batches in [1, 3] {
            let chunks = duet_model::chunks(batch, batches);
            let images: Vec<usize> = chunks.iter().cloned().flatten().collect();
            assert_eq!(images, (0..batch * batches).collect::<Vec<_>>(), "batch {batch}");
            assert!(chunks.iter().all(|chunk| (1..=8).contains(&chunk.len())), "batch {batch}");
            assert!(chunks.len() >= batches * batch.min(2), "batch {batch}");
            // No chunk of a batch goes on into the next.
            assert!(chunks.iter().all(|chunk| chunk.start / batch == (chunk.end - 1) / batch));
        }
    }
    assert_eq!(duet_model::chunks(16, 1), [0..8, 8..16]);
    assert_eq!(duet_model::chunks(12, 1), [0..6, 6..12]);
    assert_eq!(duet_model::chunks(20, 1), [0..8, 8..16, 16..20]);
}
