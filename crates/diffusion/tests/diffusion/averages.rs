//! Averages of a run's weights that are chosen after its training.
use crate::support::{assert_reproduces, draw_grid, drawing, own_run, refused, trained};
use candle_core::Device;
use duet_diffusion::averages::{Averages, Measure};
use duet_diffusion::yardstick::Yardstick;
use duet_diffusion::{Drawing, Model};
use std::collections::BTreeMap;
use std::path::Path;

fn weights(folder: &Path) -> BTreeMap<String, Vec<f32>> {
    tensors(&folder.join("unet/diffusion_pytorch_model.safetensors"))
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let tensors = duet_model::read_tensors(path, &Device::Cpu).unwrap();
    tensors.into_iter().map(|(name, t)| (name, t.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

/// Writes the average of this length after this step as a model folder; the step that it is of.
fn write(model: &str, length: f64, step: Option<u64>, out: &Path) -> u64 {
    let model = Model::open(model, &Device::Cpu).unwrap();
    let averages = Averages::new(trained(), step, &[length], &model).unwrap();
    averages.write(0, out, &Device::Cpu).unwrap();
    averages.step
}

#[test]
fn an_average_of_any_length_becomes_a_model_that_samples() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let (run, snapshots) = (trained().to_str().unwrap(), trained().join("ema"));
    let kept = std::fs::read_dir(&snapshots).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: Vec<String> = kept.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(kept.iter().filter(|name| name.ends_with(".safetensors")).count(), 6, "{kept:?}");
    // The length that was kept is what was kept.
    write(run, 0.1, None, &folder("tenth"));
    let snapshot = tensors(&snapshots.join("step-000060.safetensors"));
    for (name, values) in weights(&folder("tenth")) {
        for (a, b) in values.iter().zip(&snapshot[&format!("0.1.{name}")]) {
            assert!((a - b).abs() < 1e-5, "{name}: {a}, expected {b}");
        }
    }
    let picture = folder("tenth.png");
    let run_of = |name: &str| folder(name).display().to_string();
    let drawing = drawing(|d| {
        (d.run, d.seeds, d.steps) = (run_of("tenth"), "0".parse().unwrap(), Some(3));
    });
    draw_grid(&drawing, &picture);
    assert_reproduces(&picture);
    // A longer one is nearer to where the training began, and so is one after an earlier step.
    write(run, 0.25, None, &folder("longer"));
    write(run, 0.1, Some(30), &folder("earlier"));
    let first = tensors(&snapshots.join("step-000010.safetensors"));
    let distance = |name: &str| -> f64 {
        let weights = weights(&folder(name));
        let squares = weights.iter().flat_map(|(name, values)| {
            values.iter().zip(&first[&format!("0.1.{name}")]).map(|(a, b)| f64::from(a - b).powi(2))
        });
        squares.sum()
    };
    assert!(distance("longer") < distance("tenth") && distance("earlier") < distance("tenth"));
    // The average after the step of a checkpoint is that checkpoint's own, where it is named.
    let fiftieth = trained().join("checkpoints/step-000050");
    assert_eq!(write(fiftieth.to_str().unwrap(), 0.1, None, &folder("fiftieth")), 50);
    let model = Model::open(run, &Device::Cpu).unwrap();
    let averages = Averages::new(trained(), None, &[0.1], &model).unwrap();
    let error = refused(averages.write(0, &folder("fiftieth"), &Device::Cpu));
    assert!(error.contains("fiftieth") && error.contains("something already"), "{error}");
}

#[test]
fn averages_of_several_lengths_are_measured_beside_the_model() {
    let (dir, run) = own_run();
    let model = Model::open(run.to_str().unwrap(), &Device::Cpu).unwrap();
    let yardstick = Yardstick::new(Some(&run), "--sweep").unwrap();
    let averages = Averages::new(&run, None, &[0.05, 0.15], &model).unwrap();
    let drawing = Drawing { steps: Some(3), ..drawing(|_| {}) };
    let measure =
        Measure { drawing: &drawing, yardstick: &yardstick, count: 20, batch: 64, device: &Device::Cpu };
    let mut done = Vec::new();
    let (own, scores) = averages.scores(&measure, |count| done.push(count)).unwrap();
    assert_eq!((averages.lengths(), &done[..]), (&[0.05, 0.15][..], &[1, 2][..]));
    assert!(scores.len() == 2 && scores[0] != scores[1] && scores[0] != own);
    let best = dir.path().join("best");
    averages.write(0, &best, &Device::Cpu).unwrap();
    assert!(best.join("unet/config.json").is_file() && best.join("run_config.toml").is_file());
}
