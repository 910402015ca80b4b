//! Training from end to end on a tiny model.
use crate::support::{config, duet, files, images, run, train};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// By a file in its folder, a training is asked to save and stop, and goes on as after a signal.
#[test]
fn a_run_that_is_asked_to_stop_saves_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let out = dir.path().join("run");
    // More steps than it takes before it is asked.
    std::fs::write(config, std::fs::read_to_string(config).unwrap().replace("steps = 60", "steps = 6000"))
        .unwrap();
    let arguments = ["train", "--config", config, "--data", data, "--out", "run"];
    let mut child = duet(dir.path(), &arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while lines(&out.join("metrics.jsonl")) < 7 {
        assert!(started.elapsed() < Duration::from_secs(120), "no progress");
        std::thread::sleep(Duration::from_millis(2));
    }
    duet_diffusion::ask_to_stop(&out).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    assert!(text.contains("asked to stop") && text.contains("duet train --resume run"), "{text}");
    assert!(!out.join("STOP").exists());
    let stopped = lines(&out.join("metrics.jsonl"));
    assert!(out.join(format!("checkpoints/step-{stopped:06}")).is_dir());
    // A request that nobody took away is none to the next training.
    std::fs::write(out.join("STOP"), "").unwrap();
    let mut child = duet(dir.path(), &["train", "--resume", "run"]).spawn().unwrap();
    while lines(&out.join("metrics.jsonl")) < stopped + 3 {
        assert!(child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(240));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(!out.join("STOP").exists());
    // One that cannot be removed never costs the steps that were taken.
    std::fs::create_dir(out.join("STOP")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stopped = lines(&out.join("metrics.jsonl"));
    assert!(out.join(format!("checkpoints/step-{stopped:06}")).is_dir());
    let text = run(dir.path(), &["train", "--resume", "run"], 2);
    assert!(text.contains("STOP: what has this name asks") && text.contains("remove it"), "{text}");
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

/// A folder of few and unequal images, with everything that there is for it.
#[test]
fn a_small_and_unequal_set_is_counted_balanced_changed_and_resumed_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    for i in 5..40 {
        std::fs::remove_file(data.join(format!("right/{i:02}.png"))).unwrap();
    }
    let base = ["train", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let flags = ["--balance", "--flip", "both", "--augment", "0.5", "--out", "run"];
    let text = run(dir.path(), &[&base[..], &flags].concat(), 0);
    for said in [
        "training images of a class: left 3",
        "1 of 2 classes have fewer than 20 training images: right (",
        "balance = true",
        "flip = \"both\"",
        "augment = 0.5",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let last = || files(&dir.path().join("run/checkpoints/step-000060"));
    let unbroken = last();
    for refused in [&["--balance"][..], &["--flip", "off"], &["--augment", "0"]] {
        let text = run(dir.path(), &[&["train", "--resume", "run"], refused].concat(), 2);
        assert!(text.contains(&format!("{} cannot change when a run is resumed", refused[0])), "{text}");
    }
    let path = dir.path().join("run/config.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    for (line, key) in
        [("balance = true\n", "balance"), ("flip = \"both\"\n", "flip"), ("augment = 0.5\n", "augment")]
    {
        std::fs::write(&path, good.replace(line, "")).unwrap();
        let text = run(dir.path(), &["train", "--resume", "run"], 2);
        assert!(text.contains(&format!("config.toml: train.{key} is nothing, but")), "{text}");
    }
    std::fs::write(&path, good).unwrap();
    run(dir.path(), &["train", "--resume", "run/checkpoints/step-000025", "--threads", "1"], 0);
    assert_eq!(last(), unbroken);
    run(dir.path(), &["export", "--run", "run", "--out", "exported"], 0);
    for (model, images) in [("run", "a.safetensors"), ("exported", "b.safetensors")] {
        let flags = ["sample", "--run", model, "--preset", "digits", "--seeds", "0-3", "--out", images];
        run(dir.path(), &flags, 0);
    }
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("a.safetensors") == bytes("b.safetensors"), "the exported model draws other images");
}

#[test]
fn mirrored_digits_are_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let flags = ["train", "--config", config.to_str().unwrap(), "--dry-run", "--flip"];
    let text = run(dir.path(), &[&flags[..], &["horizontal"]].concat(), 0);
    assert!(text.contains("warning: flip is horizontal: a mirrored digit"), "{text}");
    let text = run(dir.path(), &[&flags[..], &["off"]].concat(), 0);
    assert!(!text.contains("warning") && !text.contains("flip ="), "{text}");
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

/// The megabytes before `word` in a plan's line of memory.
fn planned_megabytes(plan: &str, word: &str) -> f64 {
    let line = plan.lines().find(|line| line.starts_with("memory")).unwrap_or_else(|| panic!("{plan}"));
    let before = line.split(word).next().unwrap_or_default();
    let number = before.trim_end().trim_end_matches("MB").trim_end().rsplit(' ').next();
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{word}: {line}"))
}

#[test]
fn a_dry_run_says_before_what_the_training_takes_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let wide = ["train", "--dry-run", "--threads", "2", "--set", "model.block_out_channels=[32,64,128]"];
    let plan = run(dir.path(), &wide, 0);
    let (planned, taken) = (planned_megabytes(&plan, " at most"), planned_megabytes(&plan, " so far"));
    assert!((0.8..1.25).contains(&(planned / taken)), "{plan}");
    let plan = run(dir.path(), &[&wide[..], &["--memory", "low"]].concat(), 0);
    let (low, taken) = (planned_megabytes(&plan, " at most"), planned_megabytes(&plan, " so far"));
    assert!(low < planned && plan.contains("without --memory low"), "{plan}");
    // Both uses were timed in one process, so it has had the larger.
    assert!(low < taken * 1.25, "{plan}");
}

/// Under growing limits, the first that the network itself passes is too small for its training.
#[cfg(target_os = "linux")]
#[test]
fn a_training_that_cannot_fit_is_refused_with_what_would() {
    let dir = tempfile::tempdir().unwrap();
    let wide = "train --dry-run --set model.block_out_channels=[64,128,256] --set model.layers_per_block=2";
    for kibibytes in (1_000_000..6_000_000).step_by(200_000) {
        let program = env!("CARGO_BIN_EXE_duet");
        let script = format!("ulimit -v {kibibytes}; exec '{program}' {wide}");
        let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output();
        let text = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        if text.contains("of memory is free") || !text.contains("error: ") {
            continue;
        }
        if text.contains("what fits: ") {
            assert!(text.contains("training on batches of 16 takes about "), "{text}");
            assert!(text.contains("--memory low") || text.contains("smaller"), "{text}");
            return;
        }
    }
    panic!("no limit was refused with what fits");
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
    let cases: [(&[&str], i32, &[&str]); 20] = [
        (&["--config", "unknown.toml"], 2, &["unknown.toml", "learing_rate", "learning_rate"]),
        (&["--config", "syntax.toml"], 2, &["syntax.toml"]),
        (&["--config", "nowhere.toml"], 2, &["nowhere.toml"]),
        (&["--config", "trap.toml"], 2, &["epsilon"]),
        (&["--preset", "cats"], 2, &["--preset cats"]),
        (&["--data", "nowhere"], 4, &["nowhere"]),
        (&["--data", "broken"], 4, &["broken", "1.png"]),
        (&["--data", "counts"], 4, &["idx", "2", "3"]),
        (&["--data", "lies"], 4, &["train-images-idx3-ubyte"]),
        (
            &["--data", data, "--image-size", "7"],
            2,
            &["--image-size 7: images of 7×7", "multiples of 2", "--image-size 6 or --image-size 8"],
        ),
        (&["--data", data, "--channels", "2"], 4, &["channels", "2"]),
        (&["--steps", "0"], 2, &["steps = 0"]),
        (&["--lr", "nan"], 2, &["learning_rate"]),
        (&["--flip", "vertical"], 2, &["--flip", "\"vertical\"", "off, horizontal, both"]),
        (&["--augment", "1.5"], 2, &["augment = 1.5", "0 to 1"]),
        (&["--augment", "-1"], 2, &["augment = -1", "0 to 1"]),
        (&["--augment", "nan"], 2, &["augment = NaN", "0 to 1"]),
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

/// Presets, a file, `--set` and flags of their own, each over those before it.
#[test]
fn any_setting_is_set_by_its_key_and_no_setting_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (images(dir.path()), config(dir.path()));
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let plan = |flags: &[&str], code| {
        let text = run(dir.path(), &[&["train", "--dry-run", "--data", data], flags].concat(), code);
        text.replace("[\n    ", "[").replace(",\n    ", ", ").replace(",\n]", "]")
    };
    let settings = [
        ("diffusion.schedule=linear", "schedule = \"linear\""),
        ("diffusion.beta_start=2e-4", "beta_start = 0.0002"),
        ("diffusion.snr_scale=0.5", "snr_scale = 0.5"),
        ("block_out_channels=[8, 16]", "block_out_channels = [8, 16]"),
        ("train.learning_rate=1", "learning_rate = 1.0"),
        ("train.augment=0.25", "augment = 0.25"),
        ("sample.sampler=ddim", "sampler = \"ddim\""),
        ("sample.eta=0.5", "eta = 0.5"),
        ("history=0.5", "history = \"0.5\""),
        ("save.keep=2", "keep = 2"),
        ("data.image_size=6x8", "image_size = \"6x8\""),
    ];
    let flags: Vec<&str> = settings.iter().flat_map(|(set, _)| ["--set", set]).collect();
    let own = ["--optimizer", "adamw", "--loss-weighting", "late:3", "--label-dropout", "0.2"];
    for file in [&[][..], &["--config", config]] {
        let text = plan(&[file, &flags, &own].concat(), 0);
        let owned = ["optimizer = \"adamw\"", "loss_weighting = \"late:3\"", "label_dropout = 0.2"];
        for line in settings.map(|(_, line)| line).into_iter().chain(owned) {
            assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
        }
    }
    for (flags, said) in [
        (&["--set", "train.lr=1"][..], "--set train.lr=1: there is no such key; the nearest are train."),
        (&["--set", "save.keep=many"], "--set save.keep=many: save.keep: it takes a whole number"),
        (&["--set", "batch=0"], "batch = 0: must be 1 to 65536"),
        (&["--set", "data.fingerprint=0"], "--set data.fingerprint=0: a run fills it in itself"),
        (&["--set", "learning_rate=1", "--lr", "1"], "train.learning_rate is given twice"),
        (&["--set", "train.seed=1", "--set", "seed=2"], "--set seed=2: train.seed is given twice"),
        (&["--set", "train.steps=7", "--epochs", "1"], "train.steps is given twice"),
        (&["--optimizer", "sgd"], "optimizer \"sgd\": use one of adamw, muon"),
        (&["--loss-weighting", "lately"], "loss weighting \"lately\": use one of"),
        (&["--label-dropout", "-1"], "label_dropout = -1: must be 0 to 1"),
    ] {
        let text = plan(flags, 2);
        assert!(text.contains(said), "{flags:?}: {text}");
    }
}

#[test]
fn a_setting_may_go_with_the_preset_that_fits_the_images_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let train = ["train", "--dry-run", "--data", data.to_str().unwrap(), "--image-size", "64"];
    let with = |flags: &[&str]| run(dir.path(), &[&train[..], flags].concat(), 0);
    // The preset digits predicts ε, which says nothing about the image where x is pure noise.
    let text = with(&["--set", "diffusion.zero_terminal_snr=true"]);
    assert!(text.contains("preset colour") && text.contains("prediction = \"v\""), "{text}");
    // Twice the side moves the preset's own weighting, and none that is asked for.
    assert!(text.contains("snr_scale = 0.25") && text.contains("loss_weighting = \"log_normal:1.293:0.8\""));
    for flag in [["--loss-weighting", "log_normal:0.5:1"], ["--set", "loss_weighting=log_normal:0.5:1"]] {
        let text = with(&flag);
        assert!(text.contains("snr_scale = 0.25") && text.contains("\"log_normal:0.5:1\""), "{text}");
    }
    let text = with(&["--set", "snr_scale=1"]);
    assert!(text.contains("snr_scale = 1.0") && text.contains("loss_weighting = \"log_normal\""), "{text}");
}

#[test]
fn a_training_from_a_model_says_what_it_carries_over_and_refuses_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "first");
    let data = images(dir.path());
    std::fs::rename(data.join("left"), data.join("above")).unwrap();
    let data = data.to_str().unwrap();
    let begin = |flags: &[&str], code| {
        let arguments = [&["train", "--data", data, "--from", "first", "--out", "second"], flags].concat();
        run(dir.path(), &arguments, code)
    };
    std::fs::write(dir.path().join("wide.toml"), "[model]\nblock_out_channels = [16, 16]\n").unwrap();
    let cases: [(&[&str], i32, &[&str]); 4] = [
        (
            &["--config", "wide.toml"],
            5,
            &[
                "--from",
                "class_embedding.weight is [3, 32] in the model, [3, 64] in the run",
                "without a [model]",
            ],
        ),
        (&["--freeze", "down_block"], 2, &["freeze \"down_block\"", "down_blocks"]),
        (&["--freeze", "*"], 2, &["nothing would be trained"]),
        (&["--from-weights", "best"], 2, &["averaged or raw"]),
    ];
    for (flags, code, words) in cases {
        let text = begin(flags, code);
        assert!(words.iter().all(|word| text.contains(word)), "{flags:?}: {text}");
        assert!(!dir.path().join("second").exists(), "{flags:?} left something behind");
    }
    let text = run(dir.path(), &["train", "--data", data, "--from", "nowhere", "--out", "second"], 5);
    assert!(text.contains("--from: nowhere: there is no such folder"), "{text}");

    let text = begin(&["--steps", "4", "--freeze", "conv_in,time_embedding", "--from-weights", "raw"], 0);
    for words in ["raw weights", "carried over: right", "are new: above", "dropped: left", "freeze = ["] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(dir.path().join("second/transfer.json").is_file());
    for (flag, value) in [("--from", "first"), ("--freeze", "conv_in")] {
        let text = run(dir.path(), &["train", "--resume", "second", flag, value], 2);
        assert!(text.contains(&format!("{flag} cannot change")), "{text}");
    }
}

#[test]
fn the_preset_that_fits_the_images_is_taken_and_another_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let grey = images(dir.path());
    let grey = grey.to_str().unwrap();
    let plan = |flags: &[&str]| run(dir.path(), &[&["train", "--dry-run"], flags].concat(), 0);
    let (small, large) = ("block_out_channels = [16, 32, 64]", "block_out_channels = [32, 64, 128]");
    let spaced = |text: String| text.replace("[\n    ", "[").replace(",\n    ", ", ").replace(",\n]", "]");
    let text = spaced(plan(&["--data", grey]));
    assert!(text.contains("preset digits, made for grey") && text.contains(small), "{text}");
    let text = spaced(plan(&["--data", grey, "--channels", "3"]));
    assert!(text.contains("preset colour, made for images in colour") && text.contains(large), "{text}");
    // What is asked for is taken, and a file alone means what it always did.
    let text = spaced(plan(&["--data", grey, "--channels", "3", "--preset", "digits"]));
    assert!(text.contains("there is --preset colour") && text.contains(small), "{text}");
    std::fs::write(dir.path().join("steps.toml"), "[train]\nsteps = 7\n").unwrap();
    let text = spaced(plan(&["--data", grey, "--channels", "3", "--config", "steps.toml"]));
    assert!(text.contains("there is --preset colour") && text.contains(small), "{text}");
    assert!(!text.contains("preset digits, made for"), "{text}");
}

#[test]
fn without_a_verb_the_verbs_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &[], 0);
    for verb in ["train", "sample", "fetch", "import"] {
        assert!(text.contains(verb), "{text}");
    }
}

#[test]
fn a_training_says_what_its_average_is_what_is_unwise_and_what_to_try() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let small = "[model]\nblock_out_channels = [8, 16]\n[train]\nsteps = 60\nbatch = 8\nema_snapshots = 0\n\
                 label_dropout = 1.0\n";
    std::fs::write(dir.path().join("small.toml"), small).unwrap();
    let data = data.to_str().unwrap();
    let flags =
        ["train", "--preset", "original", "--config", "small.toml", "--data", data, "--out", "original"];
    let text = run(dir.path(), &flags, 0);
    assert!(text.contains("The weights' average keeps 0.8714 a step at the end"), "{text}");
    assert!(text.contains("warning: label_dropout is 1") && text.contains("the classes are never learned"));
    config(dir.path());
    let flags = ["train", "--config", "tiny.toml", "--data", data, "--steps", "2", "--out", "run"];
    let text = run(dir.path(), &flags, 0);
    assert!(text.contains("duet sample --run run --class 1 --out samples.png"), "{text}");
    let text = run(dir.path(), &["sample", "--run", "run"], 0);
    assert!(text.contains("w 1.7,"), "{text}");
}

/// CIFAR-100 as it is published, with few images.
fn cifar_100() -> String {
    format!("{}/../data/tests/data/cifar/published/cifar-100-python", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_runs_choice_of_label_is_kept_and_cannot_change() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (cifar_100(), config(dir.path()));
    let config = config.to_str().unwrap();
    let text = run(dir.path(), &["data", &data, "--label", "coarse"], 0);
    assert!(text.contains("cifar-100-coarse: 3 training and 1 test image, 3x32x32, 20 classes"), "{text}");
    assert!(run(dir.path(), &["data", &data], 0).contains("fine labels; --label coarse takes the others"));
    assert!(run(dir.path(), &["data", &data, "--label", "both"], 2).contains("use fine or coarse"));
    assert!(run(dir.path(), &["data", "--label", "fine"], 2).contains("--label goes with --data"));
    let ten = data.replace("100-python", "10-batches-py");
    assert!(run(dir.path(), &["data", &ten, "--label", "fine"], 4).contains("its images have one label"));
    let arguments =
        ["train", "--config", config, "--data", &data, "--label", "coarse", "--steps", "2", "--out", "run"];
    run(dir.path(), &arguments, 0);
    let kept = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    assert!(kept.contains("label = \"coarse\""), "{kept}");
    let text = run(dir.path(), &["train", "--resume", "run", "--label", "fine"], 2);
    assert!(text.contains("--label cannot change when a run is resumed"), "{text}");
    run(dir.path(), &["train", "--resume", "run"], 0);
    std::fs::write(dir.path().join("run/config.toml"), kept.replace("\"coarse\"", "\"fine\"")).unwrap();
    let text = run(dir.path(), &["train", "--resume", "run"], 2);
    assert!(text.contains("data.label"), "{text}");
    // A model of 20 classes knows the run's own labels, and those of `--label` alone are others.
    std::fs::write(dir.path().join("run/config.toml"), kept).unwrap();
    run(dir.path(), &["classify", "--run", "run", "--n", "1"], 0);
    let arguments = ["classify", "--run", "run", "--n", "1", "--data", &data];
    run(dir.path(), &arguments, 0);
    let text = run(dir.path(), &[&arguments[..], &["--label", "fine"]].concat(), 2);
    assert!(text.contains("100") && text.contains("20"), "{text}");
}
