//! Runs from their configuration to what they draw.
use crate::support::{
    CONFIG, assert_reproduces, configured, draw_grid, drawn, images, own_run, refused, text, train, trained,
};
use duet_diffusion::data::{Dataset, Shape, Splits};
use duet_diffusion::metrics::after;
use duet_diffusion::{
    Device, Drawing, Model, NewRun, Plan, Resume, RunConfig, Session, ask_to_stop, is_trained,
};
use std::path::Path;
use toml::Table;

fn losses(run: &Path) -> Vec<f64> {
    let metrics = duet_diffusion::metrics::read(&run.join("metrics.jsonl")).unwrap();
    assert!(metrics.iter().map(|line| line.step).eq(1..=60), "every step exactly once");
    metrics.iter().filter_map(|line| line.held_out_loss).collect()
}

#[test]
fn a_run_ends_with_checkpoints_metrics_and_a_picture() {
    let run = trained();
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
    let held_out = losses(run);
    assert_eq!(held_out.len(), 3);
    assert!(held_out[2] < 0.8 * held_out[0], "it learns: {held_out:?}");
    assert_reproduces(&run.join("samples/step-000060.png"));
    let saved = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(saved.contains("steps = 60") && saved.contains("fingerprint"));
}

#[test]
fn the_long_preset_differs_only_where_its_file_says() {
    let plan = |preset| RunConfig::preset(preset).unwrap().to_toml().unwrap();
    let (short, long) = (plan("digits"), plan("digits-long"));
    let file: Table = include_str!("../../../../configs/digits-long.toml").parse().unwrap();
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

/// The recipe's named parts, and a tiny model that is trained by them and draws.
#[test]
fn the_original_recipe_trains_and_draws() {
    let dir = tempfile::tempdir().unwrap();
    let small = "[model]\nblock_out_channels = [8, 16]\n[train]\nsteps = 60\nbatch = 8\nema_snapshots = 0\n\
                 [save]\nsave_every = 0\nsample_every = 0\nfirst_sample = 0\nheld_out_every = 20\nheld_out_images = 8\n";
    let config = configured("original", small, dir.path(), &images(dir.path()));
    let run = dir.path().join("run");
    train(config, &run);
    let saved = std::fs::read_to_string(run.join("config.toml")).unwrap();
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
    let held_out = losses(&run);
    assert!(held_out.len() == 3 && held_out[2] < held_out[0], "it learns: {held_out:?}");
    let left = Drawing { run: run.display().to_string(), class: "left".into(), ..Drawing::default() };
    let model = Model::of(&left, &Device::Cpu).unwrap();
    let plan = Plan::new(&left, &model, 64, &Device::Cpu).unwrap();
    assert!(plan.summary().contains("ddim, 25 steps"), "{}", plan.summary());
    assert_eq!(plan.draw(|_| Ok(())).unwrap().evaluations, 8 * 50);
    let picture = dir.path().join("x.png");
    draw_grid(&left, &picture);
    assert_reproduces(&picture);
}

/// Without a hidden label there is no null label, so nothing claims or uses one.
#[test]
fn label_dropout_of_none_and_of_all_are_taken_at_their_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = configured("digits", CONFIG, dir.path(), &images(dir.path()));
    (config.train.steps, config.train.label_dropout) = (2, 0.0);
    let warnings = |config: &RunConfig| {
        let run = NewRun::new(config.clone(), config.load_data().unwrap(), Device::Cpu).unwrap();
        run.warnings().unwrap().join("\n")
    };
    let warning = "the classes are never learned";
    assert!(!warnings(&config).contains(warning));
    let run = dir.path().join("none");
    train(config.clone(), &run);
    let network = std::fs::read_to_string(run.join("checkpoints/step-000002/unet/config.json")).unwrap();
    assert!(network.contains("\"_duet_null_label\": null"), "{network}");
    let plain = Drawing { run: run.display().to_string(), ..Drawing::default() };
    let model = Model::of(&plain, &Device::Cpu).unwrap();
    let plan = Plan::new(&plain, &model, 64, &Device::Cpu).unwrap();
    assert!(plan.summary().starts_with("w 1,"), "{}", plan.summary());
    let guided = Drawing { guidance: vec![2.0], ..plain };
    let drawn = Plan::new(&guided, &model, 64, &Device::Cpu).and_then(|plan| plan.draw(|_| Ok(())));
    assert!(refused(drawn).contains("the model has no null label, so only 1 works"));
    config.train.label_dropout = 1.0;
    assert!(warnings(&config).contains(warning));
}

#[test]
fn a_run_draws_by_the_eta_clip_and_schedule_of_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let sample = "sampler = \"ddim\"\neta = 0.5\nclip = \"dynamic:0.9\"\nguidance_schedule = \"linear\"\n";
    let toml = CONFIG.replace("steps = 60", "steps = 2") + sample;
    let run = dir.path().join("run");
    train(configured("digits", &toml, dir.path(), &images(dir.path())), &run);
    assert_reproduces(&run.join("samples/step-000002.png"));
    let plain = Drawing { run: run.display().to_string(), seeds: "0".parse().unwrap(), ..Drawing::default() };
    let own = Drawing {
        eta: Some(0.5),
        clip: text("dynamic:0.9"),
        guidance_schedule: text("linear"),
        ..plain.clone()
    };
    let usual = drawn(&plain);
    assert_eq!(usual, drawn(&own));
    for other in [
        Drawing { eta: Some(0.0), ..own.clone() },
        Drawing { clip: text("none"), ..own.clone() },
        Drawing { guidance_schedule: text("constant"), ..own },
    ] {
        assert_ne!(usual, drawn(&other), "{other:?}");
    }
    // η is DDIM's: another sampler is asked for without it.
    drawn(&Drawing { sampler: text("unipc"), ..plain });
}

/// Images that the caller has, and no folder; a resumed run takes those that it began with.
#[test]
fn a_run_on_images_of_the_caller_goes_on_with_them_alone() {
    let (dir, shape) = (tempfile::tempdir().unwrap(), Shape { channels: 1, height: 8, width: 8 });
    let halves = |bright: f32| {
        let half = move |i: usize, values: &mut [f32]| {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(p, v)| *v = if p % 8 / 4 == i % 2 { bright } else { -0.8 });
            (i % 2) as u32
        };
        let classes = vec!["left".to_string(), "right".into()];
        let of = |count| Dataset::from_fn(shape, classes.clone(), count, half).unwrap();
        Splits::new("halves", of(80), of(20)).unwrap()
    };
    let mut config = configured("digits", CONFIG, dir.path(), Path::new("nowhere"));
    config.train.steps = 8;
    let finished = |mut session: Session| {
        while !session.is_done() {
            session.step().unwrap();
        }
        session.finish().unwrap()
    };
    let folder = |name: &str| dir.path().join(name);
    let start = |name: &str| Session::start(config.clone(), halves(0.8), &folder(name), Device::Cpu).unwrap();
    let unbroken = finished(start("unbroken"));
    let mut stopped = start("stopped");
    for _ in 0..3 {
        stopped.step().unwrap();
    }
    stopped.save().unwrap();
    drop(stopped);
    let name = folder("stopped").display().to_string();
    let go_on = |images| Session::resume_with(&name, images, &Resume::default(), Device::Cpu);
    assert!(refused(go_on(halves(0.7))).contains("its images are not those that the run began with"));
    let again = finished(go_on(halves(0.8)).unwrap());
    for file in ["metrics.jsonl", "checkpoints/step-000008/training_state.safetensors"] {
        assert!(
            std::fs::read(unbroken.join(file)).unwrap() == std::fs::read(again.join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let (_dir, run) = own_run();
    let newest = run.join("checkpoints/step-000060/training_state.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let name = run.to_str().unwrap();
    let (session, said) =
        crate::support::heard(|| Session::resume(name, &Resume::default(), Device::Cpu).unwrap());
    assert!(said.contains("training_state.safetensors: damaged"), "{said}");
    assert!(said.contains("goes on after step 50 of 60"), "{said}");
    assert_eq!(session.trainer().steps(), 50);
}

#[test]
fn only_one_session_trains_a_run() {
    let (_dir, run) = own_run();
    let open = || Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu);
    let first = open().unwrap();
    let error = refused(open());
    assert!(error.contains("another process trains this run (process "), "{error}");
    drop(first);
    open().unwrap();
}

#[test]
fn a_training_is_asked_to_stop_and_one_that_is_over_is_not() {
    let (_dir, run) = own_run();
    let stop = run.join("STOP");
    assert!(!is_trained(&run));
    let error = refused(ask_to_stop(&run));
    assert!(error.contains("no process trains this run now") && !stop.exists(), "{error}");
    std::fs::write(&stop, "").unwrap();
    let session = Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu).unwrap();
    assert!(!stop.exists(), "what is stale is removed");
    assert!(is_trained(&run) && !session.take_stop());
    ask_to_stop(&run).unwrap();
    assert!(session.take_stop() && !session.take_stop());
    drop(session);
    assert!(!is_trained(&run));
    // Who only looks holds the lock for a moment, which stops no training from beginning.
    let lock = std::fs::File::open(run.join("LOCK")).unwrap();
    lock.lock_shared().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            lock.unlock().unwrap();
        });
        Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu).unwrap();
    });
    assert!(!is_trained(Path::new("no/such/run")));
}

#[test]
fn a_stop_that_cannot_be_removed_stops_the_training_and_is_named_before_the_next() {
    let (dir, run) = own_run();
    let stop = run.join("STOP");
    let mut session = Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu).unwrap();
    std::fs::create_dir(&stop).unwrap();
    assert!(session.take_stop());
    session.save().unwrap();
    session.finish().unwrap();
    let named = |error: String| {
        let words = ["STOP: what has this name asks", "remove it"];
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    };
    named(refused(Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu)));
    let new = dir.path().join("new");
    std::fs::create_dir_all(new.join("STOP")).unwrap();
    let config = configured("digits", CONFIG, dir.path(), &images(dir.path()));
    let data = config.load_data().unwrap();
    named(refused(Session::start(config.clone(), data.clone(), &new, Device::Cpu)));
    std::fs::remove_dir(new.join("STOP")).unwrap();
    std::fs::write(new.join("STOP"), "").unwrap();
    assert!(!Session::start(config, data, &new, Device::Cpu).unwrap().take_stop());
}

#[test]
fn the_end_of_metrics_is_read_without_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.jsonl");
    let steps = |step: u64, most: usize| -> Vec<u64> {
        after(&path, step, most).unwrap().iter().map(|row| row.step).collect()
    };
    assert_eq!(steps(0, 10), Vec::<u64>::new());
    let line =
        |step: u64| format!("{{\"step\":{step},\"loss\":0.5,\"grad_norm\":1.0,\"learning_rate\":0.001}}\n");
    let mut text: String = (1..=5000).map(line).collect();
    std::fs::write(&path, &text).unwrap();
    assert_eq!(steps(4997, 10), [4998, 4999, 5000]);
    assert_eq!(steps(5000, 10), Vec::<u64>::new());
    assert_eq!(steps(0, 3), [4998, 4999, 5000]);
    assert_eq!(steps(0, 10_000), (1..=5000).collect::<Vec<u64>>());
    assert_eq!(steps(100, 10_000), (101..=5000).collect::<Vec<u64>>());
    // The last line is being written, and one is none.
    text += "no line\n{\"step\":5001,\"lo";
    std::fs::write(&path, &text).unwrap();
    assert_eq!(steps(4999, 10), [5000]);
}

/// Values of a table by dotted key, with their lines.
fn keys(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.into();
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.push((format!("{section}.{key}"), line.to_string()));
        }
    }
    found
}

/// Another value of the same kind.
fn other(key: &str, line: &str) -> String {
    let (name, value) = line.split_once(" = ").unwrap();
    let value = match value {
        _ if key == "diffusion.schedule" => "\"linear\"".into(),
        _ if key == "diffusion.prediction" => "\"x0\"".into(),
        _ if key == "train.loss_weighting" => "\"p2\"".into(),
        _ if key == "train.optimizer" => "\"adamw\"".into(),
        _ if key == "train.timestep_sampling" => "\"uniform\"".into(),
        _ if key == "model.resnet_time_scale_shift" => "\"default\"".into(),
        _ if key == "sample.spacing" => "\"linspace\"".into(),
        _ if key == "sample.sampler" => "\"ddim\"".into(),
        _ if key == "sample.rule" => "\"apg\"".into(),
        _ if key == "sample.history" => "\"1\"".into(),
        _ if key == "sample.interval" => "\"all\"".into(),
        _ if key.ends_with("fingerprint") => format!("\"{}\"", "0".repeat(64)),
        "true" => "false".into(),
        "false" => "true".into(),
        "[8, 16]" => "[16, 16]".into(),
        "[1]" => "[0]".into(),
        "[0.9, 0.99]" => "[0.8, 0.99]".into(),
        number if number.contains(['.', 'e']) => (number.parse::<f64>().unwrap() / 2.0 + 0.01).to_string(),
        number => (number.parse::<u64>().unwrap_or_else(|_| panic!("{line}")) * 2 + 4).to_string(),
    };
    format!("{name} = {value}")
}

/// Every key of the configuration, so that one which is new must be decided about.
#[test]
fn each_key_may_change_or_is_refused_by_name_on_resume() {
    let (_dir, run) = own_run();
    let path = run.join("config.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let may_change = [
        "sample.guidance",
        "sample.history",
        "sample.interval",
        "sample.rule",
        "sample.sampler",
        "sample.steps",
        "save.eval_every",
        "save.eval_images",
        "save.first_sample",
        "save.keep",
        "save.sample_every",
        "save.save_every",
    ];
    let keys = keys(&good);
    assert!(keys.len() > 30, "{keys:?}");
    for (key, line) in keys.iter().filter(|(key, _)| key != "data.source") {
        // The line in its own section: names come again in others.
        let section = good.find(&format!("[{}]", key.split('.').next().unwrap())).unwrap();
        let at = section + good[section..].find(&format!("\n{line}\n")).unwrap() + 1;
        let changed = format!("{}{}{}", &good[..at], other(key, line), &good[at + line.len()..]);
        assert_ne!(changed, good, "{key}");
        std::fs::write(&path, changed).unwrap();
        let resumed = Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu);
        if may_change.contains(&key.as_str()) {
            drop(resumed.unwrap_or_else(|error| panic!("{key}: {}", error.chain())));
            continue;
        }
        let error = refused(resumed);
        // Other data are refused before, by what they are.
        let named =
            error.contains(key) || key.ends_with("fingerprint") && error.contains("images are not those");
        assert!(named, "{key}: {error}");
    }
}
