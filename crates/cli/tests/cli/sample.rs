//! Sampling from a tiny trained model, by the command line.
use crate::support::{drawn_again, files, run, train};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// (label, image) pairs of a samples file, in order.
fn samples(dir: &Path, flags: &[&str]) -> Vec<(i64, Vec<f32>)> {
    samples_of(dir, &[&["--steps", "5"], flags].concat())
}

fn samples_of(dir: &Path, flags: &[&str]) -> Vec<(i64, Vec<f32>)> {
    run(dir, &[&["sample", "--run", "run", "--out", "x.safetensors"], flags].concat(), 0);
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
    every_sampler_draws_and_says_what_it_cost(dir);
    mixtures_and_what_is_between_are_drawn(dir);
    a_picture_is_changed_kept_in_part_and_inverted(dir);
    every_png_is_made_again_byte_for_byte(dir);
    a_preset_draws_by_its_settings_and_flags_beat_it(dir);
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
    let rules: [&[&str]; 20] = [
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
        &["3", "--interval", "300t:900t"],
        &["3", "--rule", "apg:0:0.5:0.3"],
        &["3", "--independent-condition"],
        &["3", "--guide-with", "step-000050"],
        &["3", "--guide-with", "step-000050", "--guide-null"],
        &["3", "--clip", "dynamic:0.9"],
        &["3", "--clip", "none"],
        &["3", "--history", "0"],
        &["3", "--history", "1"],
        &["3", "--history", "0.5:0.3:5"],
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

fn every_sampler_draws_and_says_what_it_cost(dir: &Path) {
    let base = ["sample", "--run", "run", "--class", "left", "--seeds", "0-3", "--out", "s.safetensors"];
    // Heun asks twice in each of five intervals but the first, in almost pure noise, and the last.
    let cases = [
        ("ddim", 10),
        ("ddpm", 10),
        ("euler", 10),
        ("heun", 8),
        ("dpmpp-2m", 10),
        ("dpmpp-2m-sde", 10),
        ("unipc", 10),
    ];
    for (sampler, steps) in cases {
        let flags = ["--sampler", sampler, "--steps", "10", "--guidance", "1"];
        let text = run(dir, &[&base[..], &flags].concat(), 0);
        assert!(
            text.contains(&format!("{} network evaluations, {steps}.0 an image", 4 * steps)),
            "{sampler}: {text}"
        );
        assert!(text.contains(sampler) && text.contains(" img/s"), "{text}");
        let images =
            tensors(&dir.join("s.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(images.iter().all(|value| value.is_finite()), "{sampler}");
    }
    // Guidance asks twice inside its interval and once outside.
    let interval = ["--steps", "10", "--guidance", "2", "--interval", "0t:499t"];
    let text = run(dir, &[&base[..], &interval].concat(), 0);
    assert!(text.contains("60 network evaluations, 15.0 an image"), "{text}");
    let list = ["--class", "0,1", "--guidance", "1,2", "--interval", "all"];
    let text = run(dir, &[&base[..3], &base[5..], &["--steps", "10"], &list].concat(), 0);
    assert!(text.contains("240 network evaluations, 15.0 an image"), "{text}");
}

fn mixtures_and_what_is_between_are_drawn(dir: &Path) {
    let plain = samples(dir, &["--class", "left,right", "--seeds", "0,1"]);
    let mixed = samples(dir, &["--class", "left:1+right:0,left+right", "--seeds", "0,1"]);
    assert_eq!(mixed[..2], plain[..2]);
    assert!(mixed[2].1 != plain[0].1 && mixed[2].1 != plain[2].1);
    let classes = samples(dir, &["--class", "left,right", "--seeds", "0,1", "--interpolate", "classes:3"]);
    assert_eq!(
        [&classes[0].1, &classes[2].1, &classes[3].1, &classes[5].1],
        [&plain[0].1, &plain[2].1, &plain[1].1, &plain[3].1]
    );
    assert_eq!(classes[1].1, mixed[2].1);
    let seeds = samples(dir, &["--class", "left", "--seeds", "0,1", "--interpolate", "seeds:3"]);
    let off = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(off(&seeds[0].1, &plain[0].1) < 1e-4 && off(&seeds[2].1, &plain[1].1) < 1e-4);
    assert!(off(&seeds[1].1, &plain[0].1) > 1e-3);
}

fn a_picture_is_changed_kept_in_part_and_inverted(dir: &Path) {
    run(
        dir,
        &["sample", "--run", "run", "--class", "left", "--seeds", "5", "--guidance", "1", "--out", "one/"],
        0,
    );
    let picture = "one/class-left_seed-5.png";
    let original = duet_data::Picture::decode(&std::fs::read(dir.join(picture)).unwrap()).unwrap().to_unit();
    let off =
        |image: &[f32]| image.iter().zip(&original).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    let with = |flags: &[&str]| {
        samples_of(dir, &[&["--image", picture, "--seeds", "1", "--steps", "20"], flags].concat())
    };
    // The less noise, the closer.
    let changes: Vec<f32> = ["0.05", "0.4", "1"]
        .iter()
        .map(|strength| off(&with(&["--class", "left", "--strength", strength])[0].1))
        .collect();
    assert!(changes[0] < 0.3 && changes[0] < changes[2], "{changes:?}");
    let left =
        duet_data::Picture::new(1, 8, 8, (0..64).map(|p| if p % 8 < 4 { 255 } else { 0 }).collect()).unwrap();
    left.write_png(dir.join("mask.png")).unwrap();
    let image = &with(&["--class", "right", "--mask", "mask.png"])[0].1;
    let right_half = (0..64).filter(|p| p % 8 >= 4);
    assert!(right_half.into_iter().all(|p| (image[p] - original[p]).abs() < 1e-5));
    assert!(off(image) > 0.1);
    // Sampling from what an inversion finds, without guidance and with the class it saw, is the image.
    let inverted = samples(
        dir,
        &[
            "--image",
            picture,
            "--invert",
            "12",
            "--invert-class",
            "left",
            "--class",
            "left",
            "--guidance",
            "1",
            "--clip",
            "none",
            "--save-noise",
            "found.safetensors",
        ],
    );
    assert!(inverted.len() == 1 && off(&inverted[0].1) < 0.05, "{}", off(&inverted[0].1));
    let again = [
        "sample",
        "--run",
        "run",
        "--noise",
        "found.safetensors",
        "--guidance",
        "1",
        "--clip",
        "none",
        "--steps",
        "5",
        "--sampler",
        "ddim",
        "--history",
        "0",
    ];
    run(dir, &[&again[..], &["--out", "y.safetensors"]].concat(), 0);
    let again =
        tensors(&dir.join("y.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(again, inverted[0].1);
}

fn every_png_is_made_again_byte_for_byte(dir: &Path) {
    let base = ["sample", "--run", "run", "--seeds", "0-2", "--steps", "3"];
    let forms: [&[&str]; 4] = [
        &["--out", "again/a.png", "--animate", "again/way.png", "--guidance", "1,2", "--sampler", "unipc"],
        &["--out", "again/b/", "--class", "left+right", "--no-captions"],
        &["--out", "again/c/", "--noise", "again/noise.safetensors", "--eta", "1"],
        &[
            "--out",
            "again/d.png",
            "--image",
            "again/a.png",
            "--mask",
            "mask.png",
            "--guide-with",
            "step-000050",
        ],
    ];
    run(
        dir,
        &[&base[..], &["--out", "again/x.safetensors", "--save-noise", "again/noise.safetensors"]].concat(),
        0,
    );
    for form in forms {
        let base = if form.contains(&"--noise") { [&base[..3], &base[5..]].concat() } else { base.to_vec() };
        run(dir, &[&base[..], form].concat(), 0);
    }
    let names = ["a.png", "way.png", "b/class-0x0.5+1x0.5_seed-2.png", "c/class-right_noise-4.png", "d.png"];
    for name in names {
        let path = format!("again/{name}");
        drawn_again(dir, &path);
        let texts = duet_data::texts_of_png(&std::fs::read(dir.join(&path)).unwrap()).unwrap();
        assert_eq!(
            texts.iter().map(|(keyword, _)| keyword.as_str()).collect::<Vec<_>>(),
            ["Title", "Description", "Software", "duet"]
        );
    }
    // Another model, other files, no note: each is told apart.
    let other = ["reproduce", "again/a.png", "--run", "run/checkpoints/step-000050"];
    assert!(run(dir, &other, 2).contains("not the model that drew this picture"));
    std::fs::copy(dir.join("mask.png"), dir.join("again/a.png")).unwrap();
    assert!(run(dir, &["reproduce", "again/d.png"], 2).contains("again/a.png: not what it was"));
    assert!(run(dir, &["reproduce", "mask.png"], 4).contains("does not say how it was made"));
    assert!(run(dir, &["reproduce", "x.safetensors"], 4).contains("does not begin as one"));
}

fn a_preset_draws_by_its_settings_and_flags_beat_it(dir: &Path) {
    let one = ["--class", "0", "--seeds", "1"];
    let named = [
        "--guidance",
        "W",
        "--spacing",
        "sigmoid",
        "--sampler",
        "ddim",
        "--interval",
        "all",
        "--rule",
        "plain",
        "--history",
        "0",
        "--eta",
        "0",
    ];
    let preset: toml::Table = include_str!("../../../../configs/original.toml").parse().unwrap();
    let weight = preset["sample"]["guidance"].to_string();
    let clip = preset["sample"]["clip"].as_str().unwrap();
    let named = named.map(|word| if word == "W" { weight.as_str() } else { word });
    let original = samples_of(dir, &[&one[..], &["--preset", "original"]].concat());
    assert_eq!(original, samples_of(dir, &[&one[..], &named, &["--clip", clip, "--steps", "25"]].concat()));
    let fewer = samples_of(dir, &[&one[..], &["--preset", "original", "--steps", "7"]].concat());
    assert_eq!(fewer, samples_of(dir, &[&one[..], &named, &["--clip", clip, "--steps", "7"]].concat()));
    // Its picture notes what the preset stood for, not its name.
    run(dir, &[&["sample", "--run", "run", "--preset", "original", "--out", "p.png"], &one[..]].concat(), 0);
    drawn_again(dir, "p.png");
    let texts = duet_data::texts_of_png(&std::fs::read(dir.join("p.png")).unwrap()).unwrap();
    let note = &texts.iter().find(|(keyword, _)| keyword == "duet").unwrap().1;
    assert!(!note.contains("preset") && note.contains("\"spacing\":\"sigmoid"), "{note}");
    let text = run(dir, &["sample", "--run", "run", "--preset", "cats"], 2);
    assert!(text.contains("--preset cats: there are digits, digits-long, original"), "{text}");
    run(dir, &["sweep", "--run", "run", "--rows", "preset=digits,original", "--seeds", "0", "--out", "s"], 0);
    drawn_again(dir, "s/sheet.png");
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
    // A folder without its run draws as the scheduler says, everywhere guided.
    let flags = [
        "--class",
        "1",
        "--seeds",
        "7",
        "--steps",
        "4",
        "--out",
        "y.safetensors",
        "--sampler",
        "ddim",
        "--interval",
        "all",
        "--history",
        "0",
        "--guidance",
        "2",
    ];
    run(dir, &[&["sample", "--run", "plain"], &flags[..]].concat(), 0);
    let plain =
        tensors(&dir.join("y.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    run(dir, &[&["sample", "--run", "run"], &flags[..]].concat(), 0);
    let ours = tensors(&dir.join("y.safetensors"))["images"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(plain, ours);
}

fn bad_flags_are_refused_with_their_code_and_reason(dir: &Path) {
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    let cases: [(&[&str], i32, &[&str]); 45] = [
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
        (&["--guidance-schedule", "1,2"], 2, &["2 guidance weights for 4 steps"]),
        (&["--interval", "5:1"], 2, &["--interval", "5 to 1"]),
        (&["--interval", "5"], 2, &["--interval 5"]),
        (&["--rescale", "2"], 2, &["rescale 2"]),
        (&["--rule", "apg:7"], 2, &["--rule apg:7"]),
        (&["--history", "much"], 2, &["--history much"]),
        (&["--history=-1"], 2, &["--history", "history -1: must be 0 or more"]),
        (&["--history", "1:3:0.3"], 2, &["--history", "3 to 0.3"]),
        (&["--cfg-plus-plus", "--guidance", "2"], 2, &["--guidance 2: with --cfg-plus-plus it is 0 to 1"]),
        (&["--negative", "all"], 2, &["--negative all"]),
        (&["--sampler", "plms"], 2, &["--sampler plms", "unipc"]),
        (&["--spacing", "even"], 2, &["--spacing even: expected leading"]),
        (&["--spacing", "karras:0"], 2, &["--spacing karras:0: rho = 0 must be positive"]),
        (&["--sampler", "dpmpp-2m", "--eta", "0.5"], 2, &["--eta 0.5: only ddim has it, not dpmpp-2m"]),
        (&["--interval", "9t:2t"], 2, &["--interval", "9 to 2"]),
        (&["--class", "left:0.5+right:0.6"], 2, &["left:0.5+right:0.6", "sum to 1.1"]),
        (&["--class", "left:x+right"], 2, &["left:x is no class with a share"]),
        (&["--class", "left+up"], 2, &["--class up", "no such class"]),
        (&["--clip", "dynamic:2"], 2, &["--clip dynamic:2"]),
        (&["--guide-with", "step-7"], 5, &["--guide-with step-7", "no such folder"]),
        (&["--guide-null"], 2, &["--guide-with"]),
        (&["--interpolate", "seeds:1"], 2, &["--interpolate seeds:1"]),
        (&["--interpolate", "seeds:5"], 2, &["--seeds 0-7: two are needed"]),
        (&["--interpolate", "classes:5", "--class", "left"], 2, &["--class left: two are needed"]),
        (&["--strength", "0.5"], 2, &["--image"]),
        (&["--image", "mask.png", "--strength", "0"], 2, &["--strength 0"]),
        (&["--image", "nowhere.png"], 4, &["nowhere.png"]),
        (&["--image", "x.safetensors"], 4, &["x.safetensors", "neither a PNG"]),
        (&["--image", "mask.png", "--invert", "0"], 2, &["0 iterations"]),
        (&["--image", "mask.png", "--invert", "1", "--invert-class", "all"], 2, &["--invert-class all"]),
        (&["--cfg-plus-plus", "--guidance", "0.5", "--sampler", "heun"], 2, &["--cfg-plus-plus"]),
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
