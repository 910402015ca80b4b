//! Sampling from a tiny trained model, by the command line.
mod support;

use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;
use support::{files, run, train};

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// (label, image) pairs of a samples file, in order.
fn samples(dir: &Path, flags: &[&str]) -> Vec<(i64, Vec<f32>)> {
    let arguments = [&["sample", "--run", "run", "--out", "x.safetensors", "--steps", "5"], flags].concat();
    run(dir, &arguments, 0);
    let tensors = tensors(&dir.join("x.safetensors"));
    assert_eq!((tensors["images"].dtype(), tensors["labels"].dtype()), (DType::F32, DType::I64));
    assert_eq!(tensors["images"].dims()[1..], [1, 8, 8]);
    let images = tensors["images"].flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    tensors["labels"].to_vec1::<i64>().unwrap().into_iter().zip(images).collect()
}

#[test]
fn sampling_does_what_its_flags_say() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    the_image_of_class_and_seed_is_the_same_in_every_batch_order_and_number_of_threads(dir);
    the_classes_look_like_their_data(dir);
    every_form_of_output_is_written(dir);
    every_rule_of_guidance_draws_its_own_images(dir);
    a_plain_folder_of_diffusers_is_sampled_too(dir);
    bad_flags_are_refused_with_their_code_and_reason(dir);
}

fn the_image_of_class_and_seed_is_the_same_in_every_batch_order_and_number_of_threads(dir: &Path) {
    for eta in ["0", "1"] {
        let all = samples(dir, &["--class", "all", "--seeds", "0-4", "--eta", eta]);
        assert_eq!(all.len(), 10);
        assert_eq!(all, samples(dir, &["--class", "all", "--seeds", "0-4", "--eta", eta, "--batch", "3"]));
        assert_eq!(
            all,
            samples(dir, &["--class", "left,1", "--seeds", "0-4", "--eta", eta, "--threads", "1"])
        );
        let some = samples(dir, &["--class", "RIGHT,left", "--seeds", "3,1", "--eta", eta, "--batch", "1"]);
        assert_eq!(some, [all[8].clone(), all[6].clone(), all[3].clone(), all[1].clone()]);
    }
    let plain = samples(dir, &["--class", "0", "--seeds", "1"]);
    for other in [["--guidance", "1"], ["--guidance", "-0.5"], ["--spacing", "sigmoid:5"]] {
        assert_ne!(
            plain,
            samples(dir, &[&["--class", "0", "--seeds", "1"], &other[..]].concat()),
            "{other:?}"
        );
    }
}

fn the_classes_look_like_their_data(dir: &Path) {
    for (label, image) in samples(dir, &["--seeds", "0-9"]) {
        let half = |right: bool| (0..64).filter(|p| (p % 8 >= 4) == right).map(|p| image[p]).sum::<f32>();
        assert_eq!(half(true) > half(false), label == 1, "class {label}");
    }
}

fn every_form_of_output_is_written(dir: &Path) {
    let base = ["sample", "--run", "run", "--steps", "3", "--seeds", "0-2"];
    run(dir, &[&base[..], &["--out", "new/grid.png", "--animate", "new/way.png"]].concat(), 0);
    run(dir, &[&base[..], &["--out", "new/single/", "--animate", "new/way.gif"]].concat(), 0);
    let made = files(&dir.join("new"));
    let names: Vec<_> = made.keys().map(|path| path.to_str().unwrap().replace('\\', "/")).collect();
    let single =
        ["left", "right"].map(|class| [0, 1, 2].map(|seed| format!("single/class-{class}_seed-{seed}.png")));
    let around = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let expected = [around(&["grid.png"]), single.concat(), around(&["way.gif", "way.png"])].concat();
    assert_eq!(names, expected);
    assert!(made[Path::new("way.gif")].starts_with(b"GIF89a"));
    let apng = &made[Path::new("way.png")];
    assert!(apng.windows(4).filter(|w| w == b"fcTL").count() == 4, "noise and three steps");
}

fn every_rule_of_guidance_draws_its_own_images(dir: &Path) {
    let with =
        |flags: &[&str]| samples(dir, &[&["--class", "0", "--seeds", "1", "--guidance"], flags].concat());
    let rules: [&[&str]; 10] = [
        &["3"],
        &["3", "--guidance-schedule", "linear"],
        &["3", "--guidance-schedule", "cosine"],
        &["3", "--guidance-schedule", "1,2,3,-1,2"],
        &["3", "--interval", "0.3:3"],
        &["3", "--rescale", "0.7"],
        &["3", "--rule", "zero-star"],
        &["3", "--rule", "apg:0.5"],
        &["0.6", "--cfg-plus-plus"],
        &["3", "--negative", "right"],
    ];
    let drawn: Vec<_> = rules.iter().map(|rule| with(rule)).collect();
    for (i, images) in drawn.iter().enumerate() {
        assert!(images[0].1.iter().all(|value| value.is_finite()), "{:?}", rules[i]);
        assert!(drawn[..i].iter().all(|other| other != images), "{:?}", rules[i]);
    }
    // Rows of classes and weights, each as it is alone.
    let sheet = samples(dir, &["--class", "1,0", "--seeds", "1,2", "--guidance", "0,3"]);
    assert_eq!(sheet.iter().map(|(label, _)| *label).collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(sheet[6], drawn[0][0]);
    run(
        dir,
        &["sample", "--run", "run", "--steps", "2", "--seeds", "1", "--guidance", "0.5,2", "--out", "sheet/"],
        0,
    );
    assert!(dir.join("sheet/class-right_w-0.5_seed-1.png").is_file());
}

fn a_plain_folder_of_diffusers_is_sampled_too(dir: &Path) {
    let from = dir.join("run/checkpoints/step-000060");
    for name in
        ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"]
    {
        std::fs::create_dir_all(dir.join("plain").join(name).parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), dir.join("plain").join(name)).unwrap();
    }
    let config = dir.join("plain/unet/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    keys.retain(|key, _| !key.starts_with("_duet"));
    std::fs::write(&config, serde_json::to_string(&keys).unwrap()).unwrap();
    let flags = ["--class", "1", "--seeds", "7", "--steps", "4", "--out", "y.safetensors"];
    run(dir, &[&["sample", "--run", "plain"], &flags[..]].concat(), 0);
    let plain =
        tensors(&dir.join("y.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    run(dir, &[&["sample", "--run", "run"], &flags[..]].concat(), 0);
    let ours = tensors(&dir.join("y.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(plain, ours);
}

fn bad_flags_are_refused_with_their_code_and_reason(dir: &Path) {
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    let cases: [(&[&str], i32, &[&str]); 23] = [
        (&["--class", "up"], 2, &["--class up", "0 (left)", "1 (right)"]),
        (&["--class", "2"], 2, &["--class 2", "no such class"]),
        (&["--class", "0,-1"], 2, &["--class -1"]),
        (&["--steps", "1001"], 2, &["--steps", "1001", "1000"]),
        (&["--steps", "0"], 2, &["--steps"]),
        (&["--seeds", "5-3"], 2, &["--seeds 5-3"]),
        (&["--seeds", "0-99999999999"], 2, &["--seeds", "at most"]),
        (&["--eta", "2"], 2, &["eta 2"]),
        (&["--guidance", "inf"], 2, &["guidance inf"]),
        (&["--guidance", ""], 2, &["--guidance"]),
        (&["--guidance-schedule", "up"], 2, &["--guidance-schedule up"]),
        (&["--guidance-schedule", "1,2"], 2, &["2 guidance weights for 25 steps"]),
        (&["--interval", "5:1"], 2, &["--interval", "5 to 1"]),
        (&["--interval", "5"], 2, &["--interval 5"]),
        (&["--rescale", "2"], 2, &["rescale 2"]),
        (&["--rule", "apg:7"], 2, &["--rule apg:7"]),
        (&["--cfg-plus-plus"], 2, &["--guidance 2: with --cfg-plus-plus it is 0 to 1"]),
        (&["--negative", "all"], 2, &["--negative all"]),
        (&["--sampler", "euler"], 2, &["--sampler euler"]),
        (&["--spacing", "even"], 2, &["--spacing", "even"]),
        (&["--out", "x.bmp"], 2, &["--out x.bmp", "x.safetensors"]),
        (&["--run", "empty"], 5, &["empty", "neither a run"]),
        (&["--run", "nowhere"], 5, &["nowhere", "no such folder"]),
    ];
    for (flags, code, words) in cases {
        let base: &[&str] = if flags[0] == "--run" { &[] } else { &["--run", "run"] };
        let text = run(dir, &[&["sample"], base, flags].concat(), code);
        for word in words {
            assert!(text.contains(word), "{flags:?}: {word} not in:\n{text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
    let weights = dir.join("run/checkpoints/step-000060/unet/diffusion_pytorch_model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    let text = run(dir, &["sample", "--run", "run/checkpoints/step-000060"], 5);
    assert!(text.contains("diffusion_pytorch_model.safetensors: damaged"), "{text}");
}
