//! Averages of a run's weights by the command line: what is printed, and what is refused.
use crate::support::{run, train};

#[test]
fn an_average_is_written_or_measured_beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    let flags = ["ema", "--run", "run/checkpoints/step-000050", "--length", "0.1"];
    let text = run(dir, &flags, 0);
    assert!(text.contains("duet ema --run run --length 0.1 --step 50 --out DIR"), "{text}");
    let flags = [&flags[..], &["--out", "fiftieth"]].concat();
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
