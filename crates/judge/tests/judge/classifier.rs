//! The embedded classifier, and claims that hold for every classifier.
use candle_core::{DType, Device, Tensor};
use duet_data::{Dataset, FolderOptions, Shape};
use duet_judge::{Architecture, Augmentation, Classifier, ClassifierError, TrainingOptions};
use duet_kernels::{InstructionSet, with_instruction_set};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Images (n, C, H, W) of a data set, from the `first` on.
fn images(data: &Dataset, first: usize, count: usize) -> Tensor {
    let shape = data.shape();
    let mut values = vec![0f32; count * shape.len()];
    for (i, values) in values.chunks_mut(shape.len()).enumerate() {
        data.image(first + i, values);
    }
    Tensor::from_vec(values, (count, shape.channels, shape.height, shape.width), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Three classes of colour pictures, 3x16x16: mostly red, mostly green, mostly blue, with a
/// brightness that says nothing.
fn colours(count: usize) -> Dataset {
    let shape = Shape { channels: 3, height: 16, width: 16 };
    let mut pixels = Vec::new();
    let labels: Vec<u32> = (0..count as u32).map(|i| i % 3).collect();
    for (i, &label) in labels.iter().enumerate() {
        for channel in 0..3 {
            let level = if channel == label { 90 } else { 40 };
            pixels.extend((0..256).map(|p| (level + (p * 7 + i * 31 + channel as usize * 13) % 60) as u8));
        }
    }
    Dataset::new(shape, pixels, labels, ["red", "green", "blue"].map(String::from).to_vec()).unwrap()
}

fn quick() -> TrainingOptions {
    TrainingOptions { epochs: 4, batch: 12, augmentation: Augmentation::Shift, ..TrainingOptions::digits() }
}

/// Instruction sets differ by rounding, which may change the class of a digit between two classes.
#[test]
fn the_embedded_classifiers_are_right_on_99_of_100_held_out_digits() {
    let test = duet_data::digits().unwrap().test;
    let both = [Classifier::digits().unwrap(), Classifier::second_digits().unwrap()];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for set in [InstructionSet::Portable, InstructionSet::Vector, InstructionSet::Widest] {
        for classifier in &both {
            let accuracy = pool.install(|| with_instruction_set(set, || classifier.accuracy(&test).unwrap()));
            assert!(accuracy >= 0.99, "{classifier:?} is right on {:.2} % with {set:?}", 100.0 * accuracy);
        }
    }
}

/// A judge that repeated the other's answers would be none: where one is wrong, the other mostly is not.
#[test]
fn the_two_embedded_classifiers_err_on_different_digits() {
    let test = duet_data::digits().unwrap().test;
    let (first, second) = (Classifier::digits().unwrap(), Classifier::second_digits().unwrap());
    assert_eq!((first.architecture(), second.architecture()), (Architecture::Residual, Architecture::Plain));
    let all = images(&test, 0, test.len());
    let wrong = |classifier: &Classifier| -> Vec<bool> {
        let classes = classifier.classify(&all).unwrap();
        classes.iter().zip(test.labels()).map(|(class, label)| class != label).collect()
    };
    let (first, second) = (wrong(&first), wrong(&second));
    let both = first.iter().zip(&second).filter(|(a, b)| **a && **b).count();
    let either = first.iter().zip(&second).filter(|(a, b)| **a || **b).count();
    assert!(2 * both < either, "{both} of {either}");
}

#[test]
fn shuffled_labels_are_met_by_chance_alone() {
    let test = duet_data::digits().unwrap().test;
    let order = duet_random::Draws::new(0, "shuffled labels", 0).permutation(test.len() as u32);
    let classes = Classifier::digits().unwrap().classify(&images(&test, 0, test.len())).unwrap();
    let right = classes.iter().zip(&order).filter(|(class, i)| **class == test.label(**i as usize)).count();
    // 10 % of 2,000, and four standard deviations around it.
    assert!((146..=254).contains(&right), "{right} of 2,000");
}

/// Needs MNIST's own files, from `DUET_MNIST` or `../shared/data/mnist` beside the workspace.
#[test]
fn the_embedded_classifier_is_right_on_99_of_100_of_mnist_s_test_images() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    let folder = std::env::var_os("DUET_MNIST").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        // Not eprintln: the test harness would swallow it.
        let message = "SKIPPED: set DUET_MNIST to the directory of MNIST's four files";
        writeln!(std::io::stderr(), "{message}").unwrap();
        return;
    }
    let options = FolderOptions::default();
    let test = duet_data::open(&folder, &options).unwrap().test;
    let accuracy = Classifier::digits().unwrap().accuracy(&test).unwrap();
    println!("right on {:.2} % of {} images", 100.0 * accuracy, test.len());
    assert!(accuracy >= 0.99, "right on {:.2} %", 100.0 * accuracy);
}

#[test]
fn results_do_not_depend_on_the_batch() {
    let test = duet_data::digits().unwrap().test;
    let classifier = Classifier::digits().unwrap();
    let all = images(&test, 0, 21);
    let (features, probabilities) =
        (classifier.features(&all).unwrap(), classifier.probabilities(&all).unwrap());
    assert_eq!(features.dims(), [21, Classifier::FEATURES]);
    assert_eq!(probabilities.dims(), [21, 10]);
    let classes = classifier.classify(&all).unwrap();
    for (i, &class) in classes.iter().enumerate() {
        let one = images(&test, i, 1);
        assert_eq!(
            values(&classifier.features(&one).unwrap()),
            values(&features.narrow(0, i, 1).unwrap()),
            "{i}"
        );
        assert_eq!(
            values(&classifier.probabilities(&one).unwrap()),
            values(&probabilities.narrow(0, i, 1).unwrap())
        );
        assert_eq!(classifier.classify(&one).unwrap(), [class]);
    }
    assert_eq!(classifier.features(&all.narrow(0, 0, 0).unwrap()).unwrap().dims(), [0, 128]);
}

#[test]
fn probabilities_sum_to_one_and_the_largest_is_the_class() {
    let test = duet_data::digits().unwrap().test;
    let classifier = Classifier::digits().unwrap();
    let all = images(&test, 0, 50);
    let rows = classifier.probabilities(&all).unwrap().to_vec2::<f32>().unwrap();
    for (row, class) in rows.iter().zip(classifier.classify(&all).unwrap()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(row.iter().all(|&p| p >= 0.0 && p <= row[class as usize]));
    }
}

#[test]
fn colours_are_learnt_in_seconds_and_training_is_fixed_by_its_seed() {
    let data = colours(120);
    let mut losses = Vec::new();
    let first = Classifier::train(&data, &quick(), |_, loss| losses.push(loss)).unwrap();
    assert_eq!(losses.len(), 4);
    let accuracy = first.accuracy(&colours(60)).unwrap();
    assert!(accuracy > 0.95, "right on {accuracy}, losses {losses:?}");
    let bytes = first.to_bytes().unwrap();
    let again =
        |options: &TrainingOptions| Classifier::train(&data, options, |_, _| ()).unwrap().to_bytes().unwrap();
    assert_eq!(bytes, again(&quick()));
    assert_ne!(bytes, again(&TrainingOptions { seed: 1, ..quick() }));
}

#[test]
fn training_does_not_depend_on_the_number_of_threads() {
    let digits = duet_data::digits().unwrap().train.take_per_class(2);
    for options in [TrainingOptions::digits(), TrainingOptions::second_digits()] {
        let options = TrainingOptions { epochs: 2, batch: 17, ..options };
        let train = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Classifier::train(&digits, &options, |_, _| ()).unwrap().to_bytes().unwrap())
        };
        assert_eq!(train(1), train(3));
    }
}

#[test]
fn a_plain_network_learns_and_is_kept_like_a_residual_one() {
    let data = colours(120);
    let options = TrainingOptions { architecture: Architecture::Plain, epochs: 8, ..quick() };
    let classifier = Classifier::train(&data, &options, |_, _| ()).unwrap();
    let accuracy = classifier.accuracy(&colours(60)).unwrap();
    assert!(accuracy > 0.95, "right on {accuracy}");
    let again = Classifier::from_bytes(&classifier.to_bytes().unwrap()).unwrap();
    assert_eq!((again.architecture(), again.classes()), (Architecture::Plain, 3));
    let x = images(&data, 0, 21);
    let features = values(&classifier.features(&x).unwrap());
    assert_eq!(features, values(&again.features(&x).unwrap()));
    assert_eq!(
        features[20 * Classifier::FEATURES..],
        values(&again.features(&x.narrow(0, 20, 1).unwrap()).unwrap())
    );
    // The key of one network's training is not the other's.
    assert_ne!(Classifier::training_key(&data, &options), Classifier::training_key(&data, &quick()));
}

#[test]
fn a_classifier_is_kept_in_a_file() {
    let data = colours(36);
    let classifier = Classifier::train(&data, &quick(), |_, _| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    classifier.save(&path).unwrap();
    let loaded = Classifier::load(&path).unwrap();
    assert_eq!(loaded.to_bytes().unwrap(), std::fs::read(&path).unwrap());
    assert_eq!((loaded.shape(), loaded.classes()), (data.shape(), 3));
    let x = images(&data, 0, 36);
    assert_eq!(values(&classifier.features(&x).unwrap()), values(&loaded.features(&x).unwrap()));
    assert_eq!(classifier.classify(&x).unwrap(), loaded.classify(&x).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

/// The embedded file with its header, as text, changed.
fn edited(change: impl Fn(&str) -> String) -> Vec<u8> {
    let bytes = Classifier::digits().unwrap().to_bytes().unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = change(std::str::from_utf8(&bytes[8..8 + length]).unwrap());
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat()
}

#[test]
fn malformed_files_are_refused_with_the_cause() {
    let refused = |bytes: &[u8], cause: &str| {
        let message = Classifier::from_bytes(bytes).unwrap_err().to_string();
        assert!(message.contains(cause), "{message:?} does not name {cause:?}");
    };
    let whole = Classifier::digits().unwrap().to_bytes().unwrap();
    assert_eq!(edited(str::to_string), whole);
    refused(&[], "not a safetensors file");
    refused(b"hello, this is no file of tensors", "not a safetensors file");
    refused(&whole[..whole.len() - 1], "not a safetensors file");
    refused(&[whole.as_slice(), &[0]].concat(), "not a safetensors file");
    refused(&u64::MAX.to_le_bytes(), "not a safetensors file");
    refused(&edited(|header| header.replace("1x28x28", "digits")), "expected a shape");
    refused(&edited(|header| header.replace("1x28x28", "1x28x0")), "sides from 8");
    refused(&edited(|header| header.replace("1x28x28", "1x28x9999999999")), "sides from 8");
    refused(
        &edited(|header| header.replace("1x28x28", "9999999999999x28x28")),
        "conv_in.weight is [16, 1, 3, 3]",
    );
    refused(&edited(|header| header.replace("1x28x28", "3x28x28")), "conv_in.weight is [16, 1, 3, 3]");
    refused(&edited(|header| header.replace("1x28x28", "1x64x64")), "stages.2.norm.weight is missing");
    refused(&edited(|header| header.replace("\"image\"", "\"shape\"")), "metadata has no \"image\"");
    refused(&edited(|header| header.replace("norm_out.bias", "norm_out.what")), "norm_out.what is not part");
    refused(&edited(|header| header.replace("\"head.bias\"", "\"head.bia\"")), "head.bias is missing");
    refused(&edited(|header| header.replace("F16", "BF16")), "BF16, expected");
    refused(
        &edited(|header| header.replacen("[16,1,3,3]", "[16,3,1,3]", 1)),
        "conv_in.weight is [16, 3, 1, 3]",
    );

    let mut infinite = whole.clone();
    let last = infinite.len() - 2;
    infinite[last..].copy_from_slice(&[0x00, 0x7c]);
    refused(&infinite, "not finite");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    assert!(matches!(Classifier::load(&path).unwrap_err(), ClassifierError::Read { .. }));
    std::fs::write(&path, b"nothing").unwrap();
    let message = Classifier::load(&path).unwrap_err().to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
}

#[test]
fn a_kept_classifier_is_found_by_its_training_alone() {
    let data = colours(120);
    let classifier = Classifier::train(&data, &TrainingOptions { epochs: 1, ..quick() }, |_, _| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    let key = Classifier::training_key(&data, &quick());
    classifier.save_for(&path, &key).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    classifier.save_for(&path, &key).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same file each time");
    let found = Classifier::load_for(&path, &key).unwrap().unwrap();
    assert_eq!(found.to_bytes().unwrap(), classifier.to_bytes().unwrap());
    // Another label, another pixel, another option: another key.
    let relabelled = |labels: Vec<u32>| {
        let pixels = (0..data.len()).flat_map(|i| data.pixels(i).bytes().unwrap().to_vec()).collect();
        Dataset::new(data.shape(), pixels, labels, data.classes().to_vec()).unwrap()
    };
    let mut labels = data.labels().to_vec();
    assert_eq!(Classifier::training_key(&relabelled(labels.clone()), &quick()), key);
    labels.swap(0, 1);
    for other in [
        Classifier::training_key(&relabelled(labels), &quick()),
        Classifier::training_key(&data.take_per_class(30), &quick()),
        Classifier::training_key(&data, &TrainingOptions { epochs: 5, ..quick() }),
    ] {
        assert_ne!(other, key);
        assert!(Classifier::load_for(&path, &other).unwrap().is_none());
    }
    // A file without a key may belong to any training.
    classifier.save(&path).unwrap();
    let message = Classifier::load_for(&path, &key).unwrap_err().to_string();
    assert!(message.contains("does not say what it was trained on"), "{message}");
}

#[test]
fn every_changed_bit_of_a_kept_classifier_is_noticed() {
    let data = colours(12);
    let classifier = Classifier::train(&data, &TrainingOptions { epochs: 1, ..quick() }, |_, _| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    classifier.save_for(&path, "key").unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(997).chain(0..200) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        let found = Classifier::load_for(&path, "key");
        assert!(!matches!(found, Ok(Some(_))), "byte {at}");
    }
    for cut in [0, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(Classifier::load_for(&path, "key").is_err(), "{cut} bytes");
    }
}

#[test]
fn images_of_another_kind_are_refused() {
    let classifier = Classifier::digits().unwrap();
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    for wrong in [
        zeros(&[1, 3, 28, 28], DType::F32),
        zeros(&[1, 28, 28], DType::F32),
        zeros(&[1, 1, 28, 28], DType::F64),
    ] {
        let message = classifier.classify(&wrong).unwrap_err().to_string();
        assert!(message.contains("[n, 1, 28, 28] F32"), "{message}");
    }
    let nan = Tensor::full(f32::NAN, (1, 1, 28, 28), &Device::Cpu).unwrap();
    let two = Tensor::cat(&[zeros(&[1, 1, 28, 28], DType::F32), nan], 0).unwrap();
    let message = classifier.features(&two).unwrap_err().to_string();
    assert!(message.contains("image 1 has a value that is not finite"), "{message}");
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let refused = |data: &Dataset, options: &TrainingOptions, cause: &str| {
        let message = Classifier::train(data, options, |_, _| ()).unwrap_err().to_string();
        assert!(message.contains(cause), "{message:?} does not name {cause:?}");
    };
    let set = |height, classes: &[&str]| {
        let shape = Shape { channels: 1, height, width: 8 };
        let classes: Vec<String> = classes.iter().map(|name| name.to_string()).collect();
        Dataset::new(shape, vec![0; shape.len()], vec![0], classes).unwrap()
    };
    let options = quick();
    refused(&set(7, &["a", "b"]), &options, "images are 1x7x8");
    refused(&set(8, &["a"]), &options, "1 classes");
    let empty = set(8, &["a", "b"]).take_per_class(0);
    refused(&empty, &options, "no image");
    let data = set(8, &["a", "b"]);
    refused(&data, &TrainingOptions { epochs: 0, ..options.clone() }, "epochs = 0");
    refused(&data, &TrainingOptions { batch: 0, ..options.clone() }, "batch = 0");
    refused(&data, &TrainingOptions { learning_rate: f64::NAN, ..options.clone() }, "learning_rate = NaN");
    refused(&data, &TrainingOptions { label_smoothing: 1.0, ..options.clone() }, "label_smoothing = 1");
    Classifier::train(&data, &options, |_, _| ()).unwrap();
}
