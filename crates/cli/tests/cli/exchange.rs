//! Models in and out: starting noise, `import` and `export`, by the command line.
use crate::support::{drawn_again, files, run, train};
use candle_core::{Device, Tensor};
use duet_model::{UNetConfig, weights_to_bytes};
use std::collections::BTreeMap;
use std::path::Path;

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    duet_model::read_tensors(path, &Device::Cpu).unwrap()
}

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    std::fs::write(path, weights_to_bytes(&tensors).unwrap()).unwrap();
}

fn sample(dir: &Path, flags: &[&str]) -> BTreeMap<String, Tensor> {
    let arguments = [&["sample", "--steps", "4", "--out", "x.safetensors"], flags].concat();
    run(dir, &arguments, 0);
    tensors(&dir.join("x.safetensors"))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn models_and_noise_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    saved_noise_draws_the_same_images(dir);
    wrong_noise_is_refused(dir);
    an_export_samples_as_its_run_and_says_what_it_is(dir);
    an_import_takes_bare_files_and_other_labels(dir);
    other_samplers_and_schedulers_draw(dir);
}

fn saved_noise_draws_the_same_images(dir: &Path) {
    let run = ["--run", "run", "--guidance", "3"];
    let flags = ["--class", "1,0", "--seeds", "4-6", "--save-noise", "deep/noise.safetensors"];
    let drawn = sample(dir, &[&run[..], &flags].concat());
    let noise = tensors(&dir.join("deep/noise.safetensors"));
    assert_eq!(noise["noise"].dims(), [6, 1, 8, 8]);
    assert_eq!(noise["labels"].to_vec1::<i64>().unwrap(), [1, 1, 1, 0, 0, 0]);
    let again = sample(dir, &[&run[..], &["--noise", "deep/noise.safetensors", "--batch", "4"]].concat());
    assert_eq!(values(&again["images"]), values(&drawn["images"]));
    assert_eq!(again["labels"].to_vec1::<i64>().unwrap(), [1, 1, 1, 0, 0, 0]);
    // Larger images than the folder says, and the null label as a label.
    let larger = Tensor::zeros((2, 1, 12, 16), candle_core::DType::F32, &Device::Cpu).unwrap();
    let labels = Tensor::new(&[2i64, 0], &Device::Cpu).unwrap();
    write(&dir.join("large.safetensors"), &[("noise", larger), ("labels", labels)]);
    assert_eq!(
        sample(dir, &["--run", "run", "--noise", "large.safetensors"])["images"].dims(),
        [2, 1, 12, 16]
    );
}

fn wrong_noise_is_refused(dir: &Path) {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let labels = |labels: &[i64]| Tensor::new(labels, &Device::Cpu).unwrap();
    let good = || ("noise", zeros(&[2, 1, 8, 8]));
    let cases: [(&[(&str, Tensor)], &str); 10] = [
        (&[("labels", labels(&[0, 1]))], "has no tensor noise"),
        (&[good()], "has no tensor labels"),
        (&[good(), ("labels", labels(&[0]))], "labels are [1]"),
        (&[good(), ("labels", labels(&[0, 3]))], "label 3"),
        (&[good(), ("labels", labels(&[0, -1]))], "label -1"),
        (&[good(), ("labels", zeros(&[2]))], "labels are [2] F32"),
        (&[("noise", zeros(&[2, 3, 8, 8])), ("labels", labels(&[0, 1]))], "noise is [2, 3, 8, 8]"),
        (&[("noise", zeros(&[2, 1, 7, 8])), ("labels", labels(&[0, 1]))], "7×8"),
        (&[good(), ("labels", labels(&[0, 1])), ("mask", labels(&[1]))], "has a tensor mask"),
        (&[good(), ("labels", labels(&[0, 1])), ("seeds", labels(&[1]))], "seeds are [1] I64, expected [2]"),
    ];
    for (tensors, expected) in cases {
        write(&dir.join("bad.safetensors"), tensors);
        let text = run(dir, &["sample", "--run", "run", "--noise", "bad.safetensors"], 4);
        assert!(text.contains(expected) && text.contains("bad.safetensors"), "{expected}: {text}");
    }
    run(dir, &["sample", "--run", "run", "--noise", "nowhere.safetensors"], 4);
    run(dir, &["sample", "--run", "run", "--noise", "bad.safetensors", "--seeds", "1"], 2);
    run(dir, &["sample", "--run", "run", "--save-noise", "x.png"], 2);
}

fn an_export_samples_as_its_run_and_says_what_it_is(dir: &Path) {
    let flags = ["export", "--run", "run", "--out", "shared/model", "--data-licence", "CC0"];
    run(dir, &flags, 0);
    let made = files(&dir.join("shared/model"));
    let names: Vec<_> = made.keys().map(|path| path.to_str().unwrap().replace('\\', "/")).collect();
    let expected = [
        "README.md",
        "curves.svg",
        "model_index.json",
        "samples.png",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(names, expected);
    let card = String::from_utf8(made[Path::new("README.md")].clone()).unwrap();
    for word in
        ["# model", "left, right", "CC0", "from_pretrained", "block_out_channels", "60 steps, held-out"]
    {
        assert!(card.contains(word), "{word} not in:\n{card}");
    }
    let here = dir.display().to_string();
    assert!(!card.contains(&here), "a path of this machine in:\n{card}");
    drawn_again(dir, "shared/model/samples.png");
    assert!(!made[Path::new("samples.png")].windows(here.len()).any(|part| part == here.as_bytes()));
    // An export keeps the network and not how its run likes to draw.
    let flags = [
        "--class",
        "right",
        "--seeds",
        "3",
        "--sampler",
        "ddim",
        "--interval",
        "all",
        "--history",
        "0",
        "--guidance",
        "2",
    ];
    let exported = sample(dir, &[&["--run", "shared/model"], &flags[..]].concat());
    let own = sample(dir, &[&["--run", "run"], &flags[..]].concat());
    assert_eq!(values(&exported["images"]), values(&own["images"]));
    let text = run(dir, &["export", "--run", "run", "--out", "shared/model"], 2);
    assert!(text.contains("something already"), "{text}");
    assert_eq!(files(&dir.join("shared")).len(), expected.len(), "nothing is left behind");
}

fn an_import_takes_bare_files_and_other_labels(dir: &Path) {
    let unet = dir.join("shared/model/unet");
    std::fs::create_dir_all(dir.join("bare")).unwrap();
    std::fs::copy(unet.join("diffusion_pytorch_model.safetensors"), dir.join("bare/net.safetensors"))
        .unwrap();
    let text = std::fs::read_to_string(unet.join("config.json")).unwrap();
    let config = UNetConfig::from_json(&text).unwrap();
    std::fs::write(dir.join("bare/config.json"), config.to_json(&Default::default()).unwrap()).unwrap();
    let scheduler = "shared/model/scheduler/scheduler_config.json";
    let flags = ["--scheduler", scheduler, "--classes", "dark left,dark right", "--out", "imported"];
    let text = run(dir, &[&["import", "bare/net.safetensors"], &flags[..]].concat(), 0);
    assert!(text.contains("2 classes, null label 2"), "{text}");
    let flags = [
        "--seeds",
        "3",
        "--sampler",
        "ddim",
        "--interval",
        "all",
        "--history",
        "0",
        "--guidance",
        "2",
        "--class",
    ];
    let imported = sample(dir, &[&["--run", "imported"], &flags[..], &["dark right"]].concat());
    let own = sample(dir, &[&["--run", "run"], &flags[..], &["right"]].concat());
    assert_eq!(values(&imported["images"]), values(&own["images"]));
    // Names skip a null row that is not the last: "a" is row 1, and its neighbours are led away from row 0.
    let first = ["import", "bare", "--null-label", "0", "--classes", "a,b", "--out", "first"];
    let text = run(dir, &[&first[..], &["--scheduler", scheduler]].concat(), 0);
    assert!(text.contains("2 classes, null label 0"), "{text}");
    let flags = ["--seeds", "3", "--sampler", "ddim", "--history", "0", "--guidance", "1", "--class"];
    let first = sample(dir, &[&["--run", "first"], &flags[..], &["a"]].concat());
    let own = sample(dir, &[&["--run", "run"], &flags[..], &["right"]].concat());
    assert_eq!(values(&first["images"]), values(&own["images"]));
    // A folder with one file of weights under any name; no scheduler is worth a warning.
    let text = run(dir, &["import", "bare", "--null-label", "none", "--out", "plain"], 0);
    assert!(
        text.contains("warning: no scheduler_config.json") && text.contains("3 classes and no null"),
        "{text}"
    );
    // Without a null label there is nothing to be led away from, unless guidance is asked for.
    let text = run(dir, &["sample", "--run", "plain", "--steps", "2"], 0);
    assert!(text.contains("w 1,"), "{text}");
    let text = run(dir, &["sample", "--run", "plain", "--steps", "2", "--guidance", "2"], 2);
    assert!(text.contains("no null label"), "{text}");
    // The command that import prints.
    run(dir, &["sample", "--run", "plain"], 0);
    run(dir, &["sample", "--run", "plain", "--steps", "2", "--class", "2"], 0);
    run(dir, &["export", "--run", "plain", "--out", "plain-exported"], 0);
    assert!(dir.join("plain-exported/samples.png").is_file());
    for (flags, code, word) in [
        (&["bare", "--null-label", "3", "--out", "no"][..], 2, "_duet_null_label"),
        (&["bare", "--null-label", "last", "--out", "no"], 2, "--null-label last"),
        (&["bare", "--classes", "a,b,c,d", "--out", "no"], 2, "_duet_classes"),
        (&["nowhere", "--out", "no"], 5, "nowhere"),
        (&["bare", "--scheduler", "bare/config.json", "--out", "no"], 5, "_class_name"),
    ] {
        let text = run(dir, &[&["import"], flags].concat(), code);
        assert!(text.contains(word), "{word} not in:\n{text}");
        assert!(!dir.join("no").exists());
    }
}

fn other_samplers_and_schedulers_draw(dir: &Path) {
    let with = |sampler: &str| {
        values(&sample(dir, &["--run", "run", "--seeds", "1", "--sampler", sampler])["images"])
    };
    let all = ["ddim", "ddpm", "dpmpp-2m", "dpmpp-2m-sde"].map(with);
    for (i, images) in all.iter().enumerate() {
        assert!(images.iter().all(|value| value.is_finite()));
        assert!(all[..i].iter().all(|other| other != images), "sampler {i}");
    }
    let text = run(dir, &["sample", "--run", "run", "--sampler", "ddpm", "--eta", "0.5"], 2);
    assert!(text.contains("--eta 0.5"), "{text}");
    // The folder's own scheduler decides where no flag does.
    let path = dir.join("imported/scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    keys.retain(|key, _| !["clip_sample", "clip_sample_range", "set_alpha_to_one"].contains(&key.as_str()));
    keys.insert("_class_name".into(), "DPMSolverMultistepScheduler".into());
    std::fs::write(&path, serde_json::to_string(&keys).unwrap()).unwrap();
    let folder = sample(dir, &["--run", "imported", "--seeds", "1"]);
    assert_ne!(values(&folder["images"]), all[0]);
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
