//! The network against torch: outputs and every gradient of diffusers' `UNet2DModel`.
//!
//! `../references/` is made by `benches/make_references.py` with torch 2.15 and diffusers 0.42.
use candle_core::{DType, Device, Tensor};
use duet_model::{LoadedModel, NetworkInputs, Purpose, load_folder};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

fn references() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references")
}

fn load(case: &str) -> (LoadedModel, HashMap<String, Tensor>) {
    load_from(&references().join(case))
}

fn load_from(folder: &Path) -> (LoadedModel, HashMap<String, Tensor>) {
    let model = load_folder(folder, &Device::Cpu).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let io = candle_core::safetensors::load(folder.join("io.safetensors"), &Device::Cpu).unwrap();
    (model, io)
}

fn max_abs(t: &Tensor) -> f32 {
    t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Maximum absolute error at most 1e-4 of the expected tensor's largest magnitude, or of `floor`.
fn assert_agrees(name: &str, actual: &Tensor, expected: &Tensor, floor: f32) {
    let error = max_abs(&(actual - expected).unwrap());
    let scale = max_abs(expected).max(floor);
    assert!(error <= 1e-4 * scale, "{name}: error {error:e} of {scale:e}");
}

/// Smaller gradients are rounding errors. Some gradients are zero in exact arithmetic: that of a key's
/// bias, which softmax ignores, or of a bias before a norm over one channel.
fn floor(name: &str, largest: f32) -> f32 {
    if name.ends_with("to_k.bias") { largest.max(1e-2) } else { 1e-3 * largest }
}

fn agrees_with_torch(folder: &Path) {
    println!("{}", folder.display());
    let (model, io) = load_from(folder);
    let labels = io.get("labels").map(|labels| labels.to_dtype(DType::U32).unwrap());
    let out = model.unet.forward(&io["x"], &io["t"], labels.as_ref()).unwrap();
    assert_agrees("out", &out, &io["out"], 0.0);
    let loss = (out - &io["target"]).unwrap().sqr().unwrap().mean_all().unwrap();
    let grads = loss.backward().unwrap();
    let gradients = || io.iter().filter(|(name, _)| name.starts_with("grad."));
    let expected = gradients().count();
    let largest = gradients().fold(0f32, |largest, (_, grad)| largest.max(max_abs(grad)));
    assert_eq!(model.parameters.trainable().count(), expected, "number of parameters");
    for (name, var) in model.parameters.trainable() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_agrees(name, grad, &io[&format!("grad.{name}")], floor(name, largest));
    }
    // The same on the kernels' tape, without candle's graph.
    let snapshot = model.unet.snapshot(Purpose::Prediction).unwrap();
    let predicted = snapshot.predict(&io["x"], &io["t"], labels.as_ref()).unwrap();
    assert_agrees("prediction", &predicted, &io["out"], 0.0);
    let count = io["out"].elem_count() as f64;
    let mean_square = |range: Range<usize>, y: &Tensor| {
        let error = (y - io["target"].narrow(0, range.start, range.len())?)?;
        let value = f64::from(error.sqr()?.sum_all()?.to_scalar::<f32>()?) / count;
        Ok((value, (error * (2.0 / count))?))
    };
    let inputs = NetworkInputs { x: &io["x"], t: &io["t"], labels: labels.as_ref(), augment_labels: None };
    let (value, grads) = model.unet.value_and_gradients(&model.parameters, &inputs, mean_square).unwrap();
    assert!((value / f64::from(loss.to_scalar::<f32>().unwrap()) - 1.0).abs() < 1e-5);
    assert_eq!(grads.len(), expected, "number of gradients");
    for (name, grad) in &grads {
        assert_agrees(name, grad, &io[&format!("grad.{name}")], floor(name, largest));
    }
}

/// Every case in a folder; none if the folder does not exist.
fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.join("io.safetensors").exists()).collect();
    cases.sort();
    cases
}

#[test]
fn every_configuration_agrees_with_torch() {
    let cases = cases(&references());
    assert!(cases.len() >= 9, "{cases:?}");
    cases.iter().for_each(|folder| agrees_with_torch(folder));
}

/// Cases from elsewhere, such as those of `make_references.py OUT random-0 random-1`.
#[test]
fn every_configuration_in_the_named_folder_agrees_with_torch() {
    let Some(folder) = std::env::var_os("DUET_REFERENCES") else {
        return println!("skipped: DUET_REFERENCES names no folder of more cases");
    };
    let cases = cases(Path::new(&folder));
    assert!(!cases.is_empty(), "no cases in {folder:?}");
    let fails = |folder: &PathBuf| std::panic::catch_unwind(|| agrees_with_torch(folder)).is_err();
    let failed: Vec<_> = cases.iter().filter(|folder| fails(folder)).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), cases.len());
}

#[test]
fn a_written_weights_file_holds_the_same_tensors() {
    let (model, _) = load("plain");
    let tensors =
        model.parameters.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect();
    let bytes = duet_model::weights_to_bytes(&tensors).unwrap();
    assert_eq!(
        bytes,
        duet_model::weights_to_bytes(&tensors).unwrap(),
        "the bytes are a function of the values"
    );
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let again = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert_eq!(again.len(), tensors.len());
    for (name, tensor) in &tensors {
        assert_eq!(max_abs(&(&again[name] - tensor).unwrap()), 0.0, "{name}");
    }
}

/// The image of a label does not depend on the batch it is in, nor on the number of threads.
#[test]
fn a_prediction_does_not_depend_on_batch_or_threads() {
    for case in ["plain", "attention", "layer_norm_28"] {
        let (model, io) = load(case);
        let labels = io["labels"].to_dtype(DType::U32).unwrap();
        let snapshot = model.unet.snapshot(Purpose::Prediction).unwrap();
        let forward = |first: usize, n: usize| {
            let part = |t: &Tensor| t.narrow(0, first, n).unwrap();
            let (x, t, labels) = (part(&io["x"]), part(&io["t"]), part(&labels));
            let graph = model.unet.forward(&x, &t, Some(&labels)).unwrap();
            let tape = snapshot.predict(&x, &t, Some(&labels)).unwrap();
            let values = |y: &Tensor| y.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
            values(&graph).into_iter().zip(values(&tape)).collect::<Vec<_>>()
        };
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| forward(0, 3))
        };
        let all = on(1);
        assert_eq!(all, on(3), "{case}: threads");
        let alone: Vec<_> = (0..3).flat_map(|i| forward(i, 1)).collect();
        assert_eq!(all, alone, "{case}: one by one");
        let pairs: Vec<_> = [forward(0, 2), forward(2, 1)].concat();
        assert_eq!(all, pairs, "{case}: in twos");
    }
}
