//! Averages of a run's weights that are chosen after its training.
use crate::support::{drawn_again, run, train};
use std::collections::BTreeMap;
use std::path::Path;

fn weights(folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let path = folder.join("unet/diffusion_pytorch_model.safetensors");
    tensors(&path)
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let values =
        |(name, t): (String, candle_core::Tensor)| (name, t.flatten_all().unwrap().to_vec1().unwrap());
    tensors.into_iter().map(values).collect()
}

#[test]
fn an_average_of_any_length_becomes_a_model_that_samples() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    let kept = std::fs::read_dir(dir.join("run/ema")).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: Vec<String> = kept.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(kept.iter().filter(|name| name.ends_with(".safetensors")).count(), 6, "{kept:?}");
    // The length that was kept is what was kept.
    run(dir, &["ema", "--run", "run", "--length", "0.1", "--out", "tenth"], 0);
    let snapshot = tensors(&dir.join("run/ema/step-000060.safetensors"));
    for (name, values) in weights(&dir.join("tenth")) {
        for (a, b) in values.iter().zip(&snapshot[&format!("0.1.{name}")]) {
            assert!((a - b).abs() < 1e-5, "{name}: {a}, expected {b}");
        }
    }
    run(dir, &["sample", "--run", "tenth", "--seeds", "0", "--steps", "3", "--out", "tenth.png"], 0);
    drawn_again(dir, "tenth.png");
    // A longer one is nearer to where the training began, and so is one after an earlier step.
    run(dir, &["ema", "--run", "run", "--length", "0.25", "--out", "longer"], 0);
    run(dir, &["ema", "--run", "run", "--length", "0.1", "--step", "30", "--out", "earlier"], 0);
    let first = tensors(&dir.join("run/ema/step-000010.safetensors"));
    let distance = |folder: &str| -> f64 {
        let weights = weights(&dir.join(folder));
        let squares = weights.iter().flat_map(|(name, values)| {
            values.iter().zip(&first[&format!("0.1.{name}")]).map(|(a, b)| f64::from(a - b).powi(2))
        });
        squares.sum()
    };
    assert!(distance("longer") < distance("tenth") && distance("earlier") < distance("tenth"));
    // The average after the step of a checkpoint is that checkpoint's own, where it is named.
    let flags = ["ema", "--run", "run/checkpoints/step-000050", "--length", "0.1", "--out", "fiftieth"];
    assert!(run(dir, &flags, 0).contains("after step 50"));
    assert!(run(dir, &flags, 2).contains("fiftieth"));
    let flags = ["ema", "--run", "run", "--sweep", "0.05,0.15", "--score", "20", "--steps", "3"];
    let text = run(dir, &[&flags[..], &["--out", "best"]].concat(), 0);
    assert!(text.contains("closest: 0.") && text.contains("\n0.05 ") && text.contains("\n0.15 "), "{text}");
    assert!(dir.join("best/unet/config.json").is_file() && dir.join("best/run_config.toml").is_file());
}

#[test]
fn what_cannot_be_averaged_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    let refused = |flags: &[&str], code: i32| run(dir, &[&["ema", "--run", "run"], flags].concat(), code);
    assert!(refused(&["--length", "0.3"], 2).contains("relative length 0.3"));
    assert!(refused(&["--length", "0.1", "--step", "15"], 2).contains("after 10, 20, 30"));
    assert!(refused(&[], 2).contains("--length"));
    assert!(refused(&["--length", "0.004"], 0).contains("cannot be made of the snapshots"));
    let path = dir.join("run/ema/step-000020.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    tensors.remove("0.1.conv_in.bias").unwrap();
    let whole = std::fs::read(&path).unwrap();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let text = refused(&["--length", "0.1", "--out", "x"], 5);
    assert!(text.contains("step-000020.safetensors") && text.contains("damaged"), "{text}");
    assert!(run(dir, &["verify", "run"], 5).contains("ema/step-000020.safetensors"));
    // A run of an older version notes no hashes.
    let hashes = std::fs::read(dir.join("run/ema/hashes.json")).unwrap();
    std::fs::remove_file(dir.join("run/ema/hashes.json")).unwrap();
    assert!(refused(&["--length", "0.1", "--out", "x"], 5).contains("0.1.conv_in.bias is missing"));
    std::fs::write(dir.join("run/ema/hashes.json"), hashes).unwrap();
    std::fs::write(&path, whole).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&["--length", "0.1", "--out", "x"], 5).contains("step-000020.safetensors"));
    assert!(!dir.join("x").exists());
    std::fs::remove_dir_all(dir.join("run/ema")).unwrap();
    assert!(refused(&["--length", "0.1"], 2).contains("ema_snapshots = N"));
}
