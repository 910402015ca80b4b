//! Training from end to end on a tiny model.
use crate::support::{config, drawn_again, duet, files, images, run, train};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn a_run_ends_with_checkpoints_metrics_and_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "run");
    let run = dir.path().join("run");
    let steps: Vec<_> =
        std::fs::read_dir(run.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(steps.len(), 3, "steps 25, 50 and 60: {steps:?}");
    for name in [
        "manifest.json",
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "training_state.safetensors",
    ] {
        assert!(run.join("checkpoints/step-000060").join(name).is_file(), "{name}");
    }
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().map(|line| line["step"].as_u64().unwrap()).eq(1..=60), "every step exactly once");
    let held_out: Vec<f64> = lines.iter().filter_map(|line| line["held_out_loss"].as_f64()).collect();
    assert_eq!(held_out.len(), 3);
    assert!(held_out[2] < 0.8 * held_out[0], "it learns: {held_out:?}");
    drawn_again(dir.path(), "run/samples/step-000060.png");
    let saved = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(saved.contains("steps = 60") && saved.contains("fingerprint"));
}

/// Interrupted at any step and resumed, a run ends in the same bytes as one that was not.
#[test]
#[cfg(unix)]
fn a_stopped_and_resumed_run_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "unbroken");
    let (data, config) = (images(dir.path()), config(dir.path()));
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let out = dir.path().join("stopped");
    let mut arguments = vec!["train", "--config", config, "--data", data, "--out", "stopped"];
    for (signal, code, after) in [("-INT", 130, 7), ("-TERM", 143, 31)] {
        let mut child = duet(dir.path(), &arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while lines(&out.join("metrics.jsonl")) < after {
            assert!(started.elapsed() < Duration::from_secs(120), "no progress");
            std::thread::sleep(Duration::from_millis(2));
        }
        let killed =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
        assert!(text.contains("duet train --resume stopped"), "{text}");
        arguments = vec!["train", "--resume", "stopped"];
    }
    run(dir.path(), &["train", "--resume", "stopped", "--threads", "1"], 0);
    let last = |run: &str| files(&dir.path().join(run).join("checkpoints/step-000060"));
    assert_eq!(last("unbroken"), last("stopped"));
    for file in ["metrics.jsonl", "config.toml", "samples/step-000060.png"] {
        let bytes = |run: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
        assert_eq!(bytes("unbroken"), bytes("stopped"), "{file}");
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_resume_that_would_end_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &["train", "--resume", "latest"], 5);
    assert!(text.contains("no run with a checkpoint under runs/"), "{text}");
    let text = run(dir.path(), &["train", "--resume", "nowhere"], 5);
    assert!(text.contains("nowhere: neither a run's folder"), "{text}");
    train(dir.path(), "run");
    let text = run(dir.path(), &["train", "--resume", "run", "--lr", "1"], 2);
    assert!(text.contains("--lr cannot change when a run is resumed"), "{text}");
    let text = run(dir.path(), &["train", "--out", "run"], 2);
    assert!(text.contains("--out run: there is something already; resume it"), "{text}");
    std::fs::create_dir_all(dir.path().join("other/inner")).unwrap();
    let text = run(dir.path(), &["train", "--out", "other"], 2);
    assert!(text.contains("--out other: there is something already; choose another folder"), "{text}");
    std::fs::remove_file(dir.path().join("data/left/03.png")).unwrap();
    let text = run(dir.path(), &["train", "--resume", "run"], 2);
    assert!(text.contains("its images are not those that the run began with"), "{text}");
    images(dir.path());
    let config = dir.path().join("run/config.toml");
    let changed = std::fs::read_to_string(&config).unwrap().replace("clip = 1.0", "clip = 2.0");
    std::fs::write(&config, changed).unwrap();
    let text = run(dir.path(), &["train", "--resume", "run"], 2);
    assert!(text.contains("config.toml: train.clip is 2.0, but"), "{text}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "run");
    let newest = dir.path().join("run/checkpoints/step-000060/training_state.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let text = run(dir.path(), &["train", "--resume", "run"], 0);
    assert!(text.contains("warning") && text.contains("training_state.safetensors: damaged"), "{text}");
    assert!(text.contains("goes on after step 50 of 60"), "{text}");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let before = files(dir.path());
    let arguments = ["train", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let text = run(dir.path(), &[&arguments[..], &["--dry-run", "--epochs", "2"]].concat(), 0);
    for word in ["parameters", "img/s", "would write", "free"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(files(dir.path()), before);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn the_long_preset_differs_only_where_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let plan = |preset| run(dir.path(), &["train", "--preset", preset, "--dry-run"], 0);
    let (short, long) = (plan("digits"), plan("digits-long"));
    let file: toml::Table = include_str!("../../../../configs/digits-long.toml").parse().unwrap();
    let settings = |text: &str| -> Vec<String> {
        let settings = text.lines().filter(|line| line.contains(" = "));
        settings.map(|line| line.trim().to_string()).collect()
    };
    let (short, long) = (settings(&short), settings(&long));
    assert_eq!(short.len(), long.len());
    let changed: Vec<_> = short.iter().zip(&long).filter(|(short, long)| short != long).collect();
    let keys: usize = file.values().map(|table| table.as_table().unwrap().len()).sum();
    assert_eq!(changed.len(), keys, "{changed:?}");
    assert!(long.contains(&"steps = 30000".into()) && long.contains(&"guidance = 1.8".into()), "{long:?}");
}

#[test]
fn a_diverging_run_stops_before_its_weights_change() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let arguments = ["train", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let text = run(dir.path(), &[&arguments[..], &["--lr", "1e30", "--out", "run"]].concat(), 3);
    assert!(text.contains("diverged at step") && text.contains("timesteps ["), "{text}");
}

#[test]
fn only_one_process_trains_a_run() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "run");
    let lock = std::fs::OpenOptions::new().write(true).open(dir.path().join("run/LOCK")).unwrap();
    lock.lock().unwrap();
    let text = run(dir.path(), &["train", "--resume", "run"], 2);
    assert!(text.contains("another process trains this run (process "), "{text}");
}

/// What bad input gets: its exit code, and a message with the file or flag, the cause and the fix.
#[test]
fn bad_input_is_refused_with_its_code_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("unknown.toml", b"[train]\nlearing_rate = 1\n");
    write("syntax.toml", b"[train\n");
    write("trap.toml", b"[diffusion]\nprediction = \"epsilon\"\nzero_terminal_snr = true\n");
    write("broken/a/1.png", b"\x89PNG\r\n\x1a\nno");
    write("broken/b/1.png", b"");
    let idx = |magic: u8, counts: &[u32], bytes: usize| {
        let mut file = vec![0, 0, 8, magic];
        counts.iter().for_each(|n| file.extend(n.to_be_bytes()));
        file.resize(file.len() + bytes, 0);
        file
    };
    for (folder, images, labels) in
        [("counts", idx(3, &[2, 4, 4], 32), 3), ("lies", idx(3, &[u32::MAX, 28, 28], 9), 3)]
    {
        for split in ["train", "t10k"] {
            write(&format!("{folder}/{split}-images-idx3-ubyte"), &images);
            write(&format!("{folder}/{split}-labels-idx1-ubyte"), &idx(1, &[labels], labels as usize));
        }
    }
    let cases: [(&[&str], i32, &[&str]); 16] = [
        (&["--config", "unknown.toml"], 2, &["unknown.toml", "learing_rate", "learning_rate"]),
        (&["--config", "syntax.toml"], 2, &["syntax.toml"]),
        (&["--config", "nowhere.toml"], 2, &["nowhere.toml"]),
        (&["--config", "trap.toml"], 2, &["epsilon"]),
        (&["--preset", "cats"], 2, &["--preset cats"]),
        (&["--data", "nowhere"], 4, &["nowhere"]),
        (&["--data", "broken"], 4, &["broken", "1.png"]),
        (&["--data", "counts"], 4, &["idx", "2", "3"]),
        (&["--data", "lies"], 4, &["train-images-idx3-ubyte"]),
        (&["--data", data, "--image-size", "7"], 2, &["7×7", "multiples of 2", "--image-size"]),
        (&["--data", data, "--channels", "2"], 4, &["channels", "2"]),
        (&["--steps", "0"], 2, &["steps = 0"]),
        (&["--lr", "nan"], 2, &["learning_rate"]),
        (&["--minutes", "0"], 2, &["--minutes"]),
        (&["--threads", "0"], 2, &["--threads 0", "1 to 1024"]),
        (&["--device", "tpu"], 2, &["--device tpu", "auto, cpu"]),
    ];
    for (flags, code, words) in cases {
        let base: &[&str] =
            if flags[0] == "--config" || flags[0] == "--preset" { &[] } else { &["--config", config] };
        let arguments = [&["train"], base, flags, &["--out", "bad"]].concat();
        let text = run(dir.path(), &arguments, code);
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {word} not in:\n{text}");
        }
        assert!(!text.contains("panicked"), "{text}");
        assert!(!dir.path().join("bad").exists(), "{arguments:?} left something behind");
    }
}

#[test]
fn without_a_verb_the_verbs_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &[], 0);
    for verb in ["train", "sample", "fetch", "import"] {
        assert!(text.contains(verb), "{text}");
    }
}

/// The recipe's named parts, and a tiny model that is trained by them and draws.
#[test]
fn the_original_recipe_trains_and_draws() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let small = "[model]\nblock_out_channels = [8, 16]\n[train]\nsteps = 60\nbatch = 8\nema_snapshots = 0\n\
                 [save]\nsave_every = 0\nsample_every = 0\nfirst_sample = 0\nheld_out_every = 20\nheld_out_images = 8\n";
    std::fs::write(dir.path().join("small.toml"), small).unwrap();
    let flags =
        ["--preset", "original", "--config", "small.toml", "--data", data.to_str().unwrap(), "--out", "run"];
    let text = run(dir.path(), &[&["train"], &flags[..]].concat(), 0);
    assert!(text.contains("The weights' average keeps 0.8714 a step at the end"), "{text}");
    let saved = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    for line in [
        "norm_num_groups = 1",
        "resnet_time_scale_shift = \"default\"",
        "schedule = \"linear\"",
        "prediction = \"epsilon\"",
        "optimizer = \"adamw\"",
        "weight_decay = 0.01",
        "betas = [0.9, 0.999]",
        "clip = 1.0",
        "label_dropout = 0.1",
        "loss_weighting = \"late",
        "timestep_sampling = \"uniform\"",
        "sampler = \"ddim\"",
        "spacing = \"sigmoid",
        "interval = \"all\"",
        "rule = \"plain\"",
        "history = \"0\"",
    ] {
        assert!(saved.contains(line), "{line}: {saved}");
    }
    let metrics = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    let held_out = metrics.lines().filter_map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["held_out_loss"].as_f64()
    });
    let held_out: Vec<f64> = held_out.collect();
    assert!(held_out.len() == 3 && held_out[2] < held_out[0], "it learns: {held_out:?}");
    let text = run(dir.path(), &["sample", "--run", "run", "--class", "left", "--out", "x.png"], 0);
    assert!(text.contains("ddim, 25 steps") && text.contains("50.0 an image"), "{text}");
    drawn_again(dir.path(), "x.png");
}

/// Without a hidden label there is no null label, so nothing claims or uses one.
#[test]
fn label_dropout_of_none_and_of_all_are_taken_at_their_word() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let text = std::fs::read_to_string(&config).unwrap().replace("steps = 60", "steps = 2");
    let trained = |name: &str, label_dropout: &str| {
        let changed = text.replace("[train]", &format!("[train]\nlabel_dropout = {label_dropout}"));
        std::fs::write(dir.path().join("changed.toml"), changed).unwrap();
        let data = data.to_str().unwrap();
        run(dir.path(), &["train", "--config", "changed.toml", "--data", data, "--out", name], 0)
    };
    let text_of_none = trained("none", "0.0");
    assert!(text_of_none.contains("--class 1 --out"), "{text_of_none}");
    let network =
        std::fs::read_to_string(dir.path().join("none/checkpoints/step-000002/unet/config.json")).unwrap();
    assert!(network.contains("\"_duet_null_label\": null"), "{network}");
    let text = run(dir.path(), &["sample", "--run", "none"], 0);
    assert!(text.contains("w 1,"), "{text}");
    let text = run(dir.path(), &["sample", "--run", "none", "--guidance", "2"], 2);
    assert!(text.contains("the model has no null label, so only 1 works"), "{text}");
    let warning = "the classes are never learned";
    assert!(!text_of_none.contains(warning) && trained("all", "1.0").contains(warning));
}

#[test]
fn a_run_draws_by_the_eta_clip_and_schedule_of_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let text = std::fs::read_to_string(config).unwrap().replace("steps = 60", "steps = 2");
    let sample = "sampler = \"ddim\"\neta = 0.5\nclip = \"dynamic:0.9\"\nguidance_schedule = \"linear\"\n";
    std::fs::write(dir.path().join("own.toml"), text + sample).unwrap();
    run(dir.path(), &["train", "--config", "own.toml", "--data", data.to_str().unwrap(), "--out", "run"], 0);
    drawn_again(dir.path(), "run/samples/step-000002.png");
    let drawn = |flags: &[&str]| {
        let base = ["sample", "--run", "run", "--seeds", "0", "--out", "x.safetensors"];
        run(dir.path(), &[&base[..], flags].concat(), 0);
        std::fs::read(dir.path().join("x.safetensors")).unwrap()
    };
    let own = ["--eta", "0.5", "--clip", "dynamic:0.9", "--guidance-schedule", "linear"];
    assert_eq!(drawn(&[]), drawn(&own));
    for (i, other) in ["0", "none", "constant"].into_iter().enumerate() {
        let mut flags = own;
        flags[2 * i + 1] = other;
        assert_ne!(drawn(&[]), drawn(&flags), "{flags:?}");
    }
    // η is DDIM's: another sampler is asked for without it.
    drawn(&["--sampler", "unipc"]);
}
