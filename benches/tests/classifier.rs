//! The classifier on a few digits; its accuracy on all is printed by `examples/legibility.rs`.
use candle_core::{Device, Tensor};
use duet_benches::Classifier;
use duet_data::Dataset;

fn tensor(data: &Dataset) -> Tensor {
    let mut values = vec![0f32; data.len() * data.shape().len()];
    for (i, values) in values.chunks_mut(data.shape().len()).enumerate() {
        data.image(i, values);
    }
    Tensor::from_vec(values, (data.len(), 1, 28, 28), &Device::Cpu).unwrap()
}

#[test]
fn training_learns_and_is_fixed_by_its_seed() {
    let digits = duet_data::digits().unwrap().train.take_per_class(20);
    let mut losses = [Vec::new(), Vec::new()];
    let train = |losses: &mut Vec<f64>| Classifier::train(&digits, 0, |_, loss| losses.push(loss)).unwrap();
    let [first, second] = losses.each_mut().map(train);
    assert_eq!(losses[0], losses[1]);
    let images = tensor(&digits);
    let classes = first.classify(&images).unwrap();
    assert_eq!(classes, second.classify(&images).unwrap());
    let right = classes.iter().zip(digits.labels()).filter(|(a, b)| a == b).count();
    assert!(right > 150, "{right} of 200 right");
}

#[test]
fn a_classifier_is_kept_in_a_file() {
    let digits = duet_data::digits().unwrap().train.take_per_class(10);
    let classifier = Classifier::train(&digits, 1, |_, _| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    classifier.save(&path).unwrap();
    let loaded = Classifier::load(&path).unwrap();
    let images = tensor(&digits);
    assert_eq!(classifier.classify(&images).unwrap(), loaded.classify(&images).unwrap());

    let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let fewer = tensors.into_iter().filter(|(name, _)| name != "head.bias").collect();
    candle_core::safetensors::save(&fewer, &path).unwrap();
    assert!(Classifier::load(&path).unwrap_err().to_string().contains("head.bias is missing"));
}
