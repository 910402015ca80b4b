//! Averages of a run's weights that are chosen after its training.
#[allow(dead_code, reason = "the rest of it is for other tests")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use support::{drawn_again, run, train};

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
    let kept: Vec<_> = std::fs::read_dir(dir.join("run/ema")).unwrap().collect();
    assert_eq!(kept.len(), 6);
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
    // A longer one is nearer to where the training began, after an earlier step too.
    run(dir, &["ema", "--run", "run", "--length", "0.25", "--step", "30", "--out", "early"], 0);
    let (first, tenth, early) = ("run/ema/step-000010.safetensors", "tenth", "early");
    let first = tensors(&dir.join(first));
    let distance = |folder: &str| -> f64 {
        let weights = weights(&dir.join(folder));
        let squares = weights.iter().flat_map(|(name, values)| {
            values.iter().zip(&first[&format!("0.1.{name}")]).map(|(a, b)| f64::from(a - b).powi(2))
        });
        squares.sum()
    };
    assert!(distance(early) < distance(tenth));
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
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&["--length", "0.1", "--out", "x"], 5).contains("step-000020.safetensors"));
    assert!(!dir.join("x").exists());
    std::fs::remove_dir_all(dir.join("run/ema")).unwrap();
    assert!(refused(&["--length", "0.1"], 2).contains("ema_snapshots = N"));
}
