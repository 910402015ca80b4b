//! Models in and out by the command line: what is printed, and what is refused.
use crate::support::{run, train};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn models_and_noise_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    saved_noise_draws_the_same_images(dir);
    an_export_and_an_import_say_what_they_made(dir);
    an_onnx_file_is_new_and_whole(dir);
    an_onnx_file_draws_the_same_images_in_onnxruntime(dir);
}

fn sample(dir: &Path, flags: &[&str]) -> BTreeMap<String, Tensor> {
    let arguments = [&["sample", "--run", "run", "--steps", "4", "--out", "x.safetensors"], flags].concat();
    run(dir, &arguments, 0);
    duet_model::read_tensors(&dir.join("x.safetensors"), &Device::Cpu).unwrap()
}

fn saved_noise_draws_the_same_images(dir: &Path) {
    let values = |tensors: &BTreeMap<String, Tensor>| -> Vec<f32> {
        tensors["images"].flatten_all().unwrap().to_vec1().unwrap()
    };
    let flags = ["--class", "1,0", "--seeds", "4-6", "--save-noise", "deep/noise.safetensors"];
    let drawn = sample(dir, &flags);
    assert_eq!(drawn["images"].dims(), [6, 1, 8, 8]);
    let noise = duet_model::read_tensors(&dir.join("deep/noise.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(noise["noise"].dims(), [6, 1, 8, 8]);
    assert_eq!(noise["labels"].to_vec1::<i64>().unwrap(), [1, 1, 1, 0, 0, 0]);
    assert_eq!(noise["seeds"].to_vec1::<i64>().unwrap(), [4, 5, 6, 4, 5, 6]);
    let again = sample(dir, &["--noise", "deep/noise.safetensors", "--batch", "4"]);
    assert_eq!(values(&again), values(&drawn));
    assert_eq!(again["labels"].to_vec1::<i64>().unwrap(), [1, 1, 1, 0, 0, 0]);
    // A picture's way to its noise is saved, too, and gives the picture's image again.
    let picture = "data/left/03.png";
    let inverted =
        ["--image", picture, "--invert", "3", "--class", "left", "--save-noise", "found.safetensors"];
    let plain = ["--guidance", "1", "--clip", "none"];
    let inverted = sample(dir, &[&inverted[..], &plain].concat());
    let again = ["--noise", "found.safetensors", "--sampler", "ddim", "--history", "0"];
    assert_eq!(values(&sample(dir, &[&again[..], &plain].concat())), values(&inverted));
    let text = run(dir, &["sample", "--run", "run", "--noise", "x.safetensors"], 4);
    assert!(text.contains("has no tensor noise") && text.contains("x.safetensors"), "{text}");
    run(dir, &["sample", "--run", "run", "--noise", "nowhere.safetensors"], 4);
    run(dir, &["sample", "--run", "run", "--noise", "x.safetensors", "--seeds", "1"], 2);
    run(dir, &["sample", "--run", "run", "--save-noise", "x.png"], 2);
}

fn an_onnx_file_is_new_and_whole(dir: &Path) {
    let onnx = ["export", "--run", "run", "--onnx", "deep/model.onnx"];
    let text = run(dir, &onnx, 0);
    assert!(text.contains("deep/model.onnx: from run/checkpoints/step-000060"), "{text}");
    let bytes = std::fs::read(dir.join("deep/model.onnx")).unwrap();
    let text = run(dir, &onnx, 2);
    assert!(
        text.contains("--onnx deep/model.onnx: there is something already; choose another file"),
        "{text}"
    );
    assert!(std::fs::read(dir.join("deep/model.onnx")).unwrap() == bytes);
    run(dir, &["export", "--run", "run"], 2);
    run(dir, &["export", "--run", "run", "--onnx", "named.onnx", "--name", "of a card"], 2);
    assert!(!dir.join("named.onnx").exists());
    run(dir, &["export", "--run", "run", "--onnx", "tiny.toml/model.onnx"], 6);
    run(dir, &["export", "--run", "nowhere", "--onnx", "nowhere.onnx"], 5);
    run(dir, &["export", "--run", "run", "--onnx", "both/model.onnx", "--out", "both/folder"], 0);
    assert!(std::fs::read(dir.join("both/model.onnx")).unwrap() == bytes);
    assert!(dir.join("both/folder/unet").is_dir());
}

/// By the loop that the guide shows, from the same noise, whatever the network predicts.
fn an_onnx_file_draws_the_same_images_in_onnxruntime(dir: &Path) {
    let Some(python) = std::env::var_os("DUET_ONNXRUNTIME") else {
        return println!("skipped: DUET_ONNXRUNTIME names no Python that has onnxruntime, onnx and numpy");
    };
    let config = std::fs::read_to_string(dir.join("tiny.toml")).unwrap();
    for prediction in ["v", "epsilon", "x0"] {
        let file = |end: &str| format!("{prediction}{end}");
        let own = config.replace("\"v\"", &format!("{prediction:?}")).replace("cosine", "scaled_linear");
        std::fs::write(dir.join(file(".toml")), own).unwrap();
        let (toml, noise) = (file(".toml"), file("-noise.safetensors"));
        run(dir, &["train", "--config", &toml, "--data", "data", "--out", prediction], 0);
        run(dir, &["export", "--run", prediction, "--onnx", &file(".onnx")], 0);
        let what =
            ["sample", "--run", prediction, "--class", "1,0", "--seeds", "4-6", "--save-noise", &noise];
        let how = ["--sampler", "ddim", "--steps", "7", "--spacing", "trailing"];
        let guidance = ["--guidance", "2", "--interval", "all", "--history", "0"];
        let images = file("-images.safetensors");
        run(dir, &[&what[..], &how, &guidance, &["--out", &images]].concat(), 0);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/compare_onnx.py");
        let mut compare = std::process::Command::new(&python);
        compare.arg(script).args(["images", &file(".onnx"), &noise, &images, "2", "7"]);
        let status = compare.current_dir(dir).status().unwrap();
        assert!(status.success(), "{prediction}: {status}");
    }
}

#[test]
fn the_guide_shows_the_loop_that_draws_from_an_onnx_file() {
    let script = include_str!("../../../../benches/onnx_sample.py");
    let start = script.find("def draw(").unwrap();
    let shown = script[start..].split("\ndef main").next().unwrap().trim_end();
    let guide = include_str!("../../../../docs/guide/python.md");
    assert!(guide.contains(shown), "docs/guide/python.md shows another loop than benches/onnx_sample.py has");
}

fn an_export_and_an_import_say_what_they_made(dir: &Path) {
    let flags = ["export", "--run", "run", "--out", "shared/model", "--data-licence", "CC0"];
    let text = run(dir, &flags, 0);
    assert!(text.contains("shared/model: from run/checkpoints/step-000060"), "{text}");
    assert!(run(dir, &flags, 2).contains("something already"));
    let text =
        run(dir, &["import", "shared/model", "--classes", "dark left,dark right", "--out", "named"], 0);
    assert!(text.contains("2 classes, null label 2"), "{text}");
    let bare = "shared/model/unet/config.json";
    let config = std::fs::read_to_string(dir.join(bare)).unwrap();
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&config).unwrap();
    keys.retain(|key, _| !key.starts_with("_duet"));
    std::fs::write(dir.join(bare), serde_json::to_string(&keys).unwrap()).unwrap();
    std::fs::remove_dir_all(dir.join("shared/model/scheduler")).unwrap();
    let import = ["import", "shared/model/unet", "--out"];
    let text = run(dir, &[&import[..], &["plain", "--null-label", "none"]].concat(), 0);
    assert!(
        text.contains("warning: no scheduler_config.json") && text.contains("3 classes and no null"),
        "{text}"
    );
    // The command that import prints.
    assert!(text.contains("draw with: duet sample --run plain"), "{text}");
    assert!(run(dir, &["sample", "--run", "plain"], 0).contains("w 1,"));
    let text = run(dir, &["sample", "--run", "plain", "--steps", "2", "--guidance", "2"], 2);
    assert!(text.contains("no null label"), "{text}");
    for (flags, code, word) in [
        (&["--null-label", "3"][..], 2, "_duet_null_label"),
        (&["--null-label", "last"], 2, "--null-label last"),
        (&["--classes", "a,b,c,d"], 2, "_duet_classes"),
        (&["--scheduler", bare], 5, "_class_name"),
    ] {
        let text = run(dir, &[&import[..], &["no"], flags].concat(), code);
        assert!(text.contains(word), "{word} not in:\n{text}");
        assert!(!dir.join("no").exists());
    }
    assert!(run(dir, &["import", "nowhere", "--out", "no"], 5).contains("nowhere"));
}

#[test]
fn data_shows_what_training_would_see() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    crate::support::images(dir);
    let text = run(dir, &["data", "data", "--out", "sheets/data.png"], 0);
    for words in ["data: ", "left", "right", "fingerprint", "sheets/data.png"] {
        assert!(text.contains(words), "{words} not in:\n{text}");
    }
    let sheet = duet_data::Picture::read(&dir.join("sheets/data.png")).unwrap();
    assert!(sheet.width > 12 * 16 && sheet.height > 2 * 16);
    assert!(run(dir, &["data", "data", "--out", "sheet.jpg"], 2).contains("use x.png"));
    assert!(run(dir, &["data", "nowhere"], 4).contains("nowhere"));
}
