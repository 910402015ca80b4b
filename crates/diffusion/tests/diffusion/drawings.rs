//! What is drawn is what the drawing says.
use crate::support::{
    assert_reproduces, draw_grid, drawing, drawn, drawn_at_once, drawn_by, files, off, refused, rows, text,
    trained,
};
use duet_diffusion::data::Picture;
use duet_diffusion::{Device, Drawing, Model, Plan, RunConfig, Sweep};
use duet_schedule::Solver;
use std::path::Path;

#[test]
fn the_image_of_class_and_seed_is_the_same_in_every_batch_order_and_number_of_threads() {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for eta in [0.0, 1.0] {
        let of = |class: &str, seeds: &str| {
            let (class, seeds) = (class.into(), seeds.parse().unwrap());
            Drawing { class, seeds, eta: Some(eta), ..drawing(|_| {}) }
        };
        let all = drawn(&of("all", "0-4"));
        assert_eq!(all.len(), 10);
        assert_eq!(all, drawn_at_once(&of("all", "0-4"), 3));
        assert_eq!(all, one_thread.install(|| drawn(&of("left,1", "0-4"))));
        let some = drawn_at_once(&of("RIGHT,left", "3,1"), 1);
        assert_eq!(some, [all[8].clone(), all[6].clone(), all[3].clone(), all[1].clone()]);
    }
    let one = drawing(|d| (d.class, d.seeds) = ("0".into(), "1".parse().unwrap()));
    let plain = drawn(&one);
    let others: [fn(&mut Drawing); 3] =
        [|d| d.guidance = vec![1.0], |d| d.guidance = vec![-0.5], |d| d.spacing = text("sigmoid:5")];
    for (i, other) in others.into_iter().enumerate() {
        let mut drawing = one.clone();
        other(&mut drawing);
        assert_ne!(plain, drawn(&drawing), "{i}");
    }
}

#[test]
fn the_classes_look_like_their_data() {
    for (label, image) in drawn(&drawing(|d| d.seeds = "0-9".parse().unwrap())) {
        let half = |right: bool| (0..64).filter(|p| (p % 8 >= 4) == right).map(|p| image[p]).sum::<f32>();
        assert_eq!(half(true) > half(false), label == 1, "class {label}");
    }
}

#[test]
fn every_rule_of_guidance_draws_its_own_images() {
    let rules: [fn(&mut Drawing); 20] = [
        |_| {},
        |d| d.guidance_schedule = text("linear"),
        |d| d.guidance_schedule = text("cosine"),
        |d| d.guidance_schedule = text("1,2,3,-1,2"),
        |d| d.interval = text("0.3:3"),
        |d| d.rescale = "0.7".parse().unwrap(),
        |d| d.rule = text("zero-star"),
        |d| d.rule = text("apg:0.5"),
        |d| (d.guidance, d.cfg_plus_plus) = (vec![0.6], true),
        |d| d.negative = Some("right".into()),
        |d| d.interval = text("300t:900t"),
        |d| d.rule = text("apg:0:0.5:0.3"),
        |d| d.independent_condition = true,
        |d| d.guide_with = Some("step-000050".into()),
        |d| (d.guide_with, d.guide_null) = (Some("step-000050".into()), true),
        |d| d.clip = text("dynamic:0.9"),
        |d| d.clip = text("none"),
        |d| d.history = text("0"),
        |d| d.history = text("1"),
        |d| d.history = text("0.5:0.3:5"),
    ];
    let base = drawing(|d| {
        (d.class, d.seeds, d.guidance) = ("0".into(), "1".parse().unwrap(), vec![3.0]);
    });
    let with = |rule: &fn(&mut Drawing)| {
        let mut drawing = base.clone();
        rule(&mut drawing);
        drawn(&drawing)
    };
    let all: Vec<_> = rules.iter().map(with).collect();
    for (i, images) in all.iter().enumerate() {
        assert!(images[0].1.iter().all(|value| value.is_finite()), "rule {i}");
        assert!(all[..i].iter().all(|other| other != images), "rule {i}");
    }
    // Rows of classes and weights, each as it is alone.
    let sheet = drawing(|d| {
        (d.class, d.seeds, d.guidance) = ("1,0".into(), "1,2".parse().unwrap(), vec![0.0, 3.0]);
    });
    let sheet = drawn(&sheet);
    assert_eq!(sheet.iter().map(|(label, _)| *label).collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(sheet[6], all[0][0]);
}

#[test]
fn every_sampler_draws_and_counts_what_it_cost() {
    let model = Model::open(trained().to_str().unwrap(), &Device::Cpu).unwrap();
    let cost = |change: &dyn Fn(&mut Drawing)| {
        let mut drawing = drawing(|d| {
            (d.class, d.seeds, d.steps) = ("left".into(), "0-3".parse().unwrap(), Some(10));
        });
        change(&mut drawing);
        let plan = Plan::new(&drawing, &model, 64, &Device::Cpu).unwrap();
        let drawn = plan.draw(|_| Ok(())).unwrap();
        assert!(rows(&drawn.images).iter().flatten().all(|value| value.is_finite()), "{}", plan.summary());
        (drawn.evaluations, plan.summary())
    };
    for sampler in Solver::names() {
        // Heun asks twice in each of five intervals but the first, in almost pure noise, and the last.
        let steps = if sampler == "heun" { 8 } else { 10 };
        let (evaluations, summary) = cost(&|d| (d.sampler, d.guidance) = (text(sampler), vec![1.0]));
        assert_eq!(evaluations, 4 * steps, "{sampler}");
        assert!(summary.contains(sampler), "{summary}");
    }
    // Guidance asks twice inside its interval and once outside.
    let interval = cost(&|d| (d.guidance, d.interval) = (vec![2.0], text("0t:499t")));
    assert_eq!(interval.0, 60);
    let list = cost(&|d| {
        (d.class, d.guidance, d.interval) = ("0,1".into(), vec![1.0, 2.0], text("all"));
    });
    assert_eq!(list.0, 240);
}

#[test]
fn mixtures_and_what_is_between_are_drawn() {
    let of = |class: &str, seeds: &str, between: Option<&str>| {
        drawn(&drawing(|d| {
            (d.class, d.seeds) = (class.into(), seeds.parse().unwrap());
            d.interpolate = between.and_then(text);
        }))
    };
    let plain = of("left,right", "0,1", None);
    let mixed = of("left:1+right:0,left+right", "0,1", None);
    assert_eq!(mixed[..2], plain[..2]);
    assert!(mixed[2].1 != plain[0].1 && mixed[2].1 != plain[2].1);
    let classes = of("left,right", "0,1", Some("classes:3"));
    assert_eq!(
        [&classes[0].1, &classes[2].1, &classes[3].1, &classes[5].1],
        [&plain[0].1, &plain[2].1, &plain[1].1, &plain[3].1]
    );
    assert_eq!(classes[1].1, mixed[2].1);
    let seeds = of("left", "0,1", Some("seeds:3"));
    assert!(off(&seeds[0].1, &plain[0].1) < 1e-4 && off(&seeds[2].1, &plain[1].1) < 1e-4);
    assert!(off(&seeds[1].1, &plain[0].1) > 1e-3);
}

#[test]
fn a_picture_is_changed_kept_in_part_and_inverted() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("one.png");
    let one = drawing(|d| {
        (d.class, d.seeds, d.guidance, d.steps) = ("left".into(), "5".parse().unwrap(), vec![1.0], None);
    });
    Picture::from_unit(1, 8, 8, &drawn(&one)[0].1).write_png(&picture).unwrap();
    let original = Picture::read(&picture).unwrap().to_unit();
    let from_picture = |change: &dyn Fn(&mut Drawing)| {
        let mut drawing = drawing(|d| {
            (d.image, d.seeds, d.steps) = (Some(picture.clone()), "1".parse().unwrap(), Some(20));
        });
        change(&mut drawing);
        drawn(&drawing)
    };
    // The less noise, the closer.
    let changes = ["0.05", "0.4", "1"]
        .map(|share| from_picture(&|d| (d.class, d.strength) = ("left".into(), text(share))))
        .map(|images| off(&images[0].1, &original));
    assert!(changes[0] < 0.3 && changes[0] < changes[2], "{changes:?}");
    let mask = dir.path().join("mask.png");
    let left = (0..64).map(|p| if p % 8 < 4 { 255 } else { 0 }).collect();
    Picture::new(1, 8, 8, left).unwrap().write_png(&mask).unwrap();
    let image = &from_picture(&|d| (d.class, d.mask) = ("right".into(), Some(mask.clone())))[0].1;
    let mut right_half = (0..64).filter(|p| p % 8 >= 4);
    assert!(right_half.all(|p| (image[p] - original[p]).abs() < 1e-5));
    assert!(off(image, &original) > 0.1);
    // Sampling from what an inversion finds, without guidance and with the class it saw, is the image.
    let inverted = from_picture(&|d| {
        (d.class, d.invert, d.invert_class) = ("left".into(), Some(12), Some("left".into()));
        (d.guidance, d.clip, d.steps) = (vec![1.0], text("none"), Some(5));
        d.seeds = Drawing::default().seeds;
    });
    assert!(
        inverted.len() == 1 && off(&inverted[0].1, &original) < 0.05,
        "{}",
        off(&inverted[0].1, &original)
    );
}

#[test]
fn a_preset_draws_by_its_settings_and_options_beat_it() {
    let dir = tempfile::tempdir().unwrap();
    let sample = RunConfig::preset("original").unwrap().sample;
    let one = drawing(|d| (d.class, d.seeds, d.steps) = ("0".into(), "1".parse().unwrap(), None));
    let preset = Drawing { preset: Some("original".into()), ..one.clone() };
    let named = Drawing {
        guidance: vec![sample.guidance],
        spacing: text("sigmoid"),
        sampler: text("ddim"),
        interval: text("all"),
        rule: text("plain"),
        history: text("0"),
        eta: Some(0.0),
        clip: sample.clip,
        ..one
    };
    assert_eq!(drawn(&preset), drawn(&Drawing { steps: Some(25), ..named.clone() }));
    let fewer = |drawing: &Drawing| drawn(&Drawing { steps: Some(7), ..drawing.clone() });
    assert_eq!(fewer(&preset), fewer(&named));
    // Its picture notes what the preset stood for, not its name.
    let picture = dir.path().join("p.png");
    draw_grid(&preset, &picture);
    assert_reproduces(&picture);
    let texts = duet_data::texts_of_png(&std::fs::read(&picture).unwrap()).unwrap();
    let note = &texts.iter().find(|(keyword, _)| keyword == "duet").unwrap().1;
    assert!(!note.contains("preset") && note.contains("\"spacing\":\"sigmoid"), "{note}");
    let unknown = Drawing { preset: Some("cats".into()), ..named };
    let model = Model::of(&unknown, &Device::Cpu).unwrap();
    let error = refused(Plan::new(&unknown, &model, 1, &Device::Cpu));
    assert!(error.contains("preset cats: there are digits, digits-long, original, colour"), "{error}");
    let out = dir.path().join("s");
    let drawing = drawing(|d| (d.seeds, d.steps) = ("0".parse().unwrap(), None));
    sweep("preset=digits,original", None, &drawing, &out);
    assert_reproduces(&out.join("sheet.png"));
}

fn sweep(rows: &str, columns: Option<&str>, drawing: &Drawing, out: &Path) {
    let sweep = Sweep { rows, columns, drawing, score: 0, batch: 64, out, device: &Device::Cpu, job: None };
    sweep.run(|_, _| {}).unwrap();
}

#[test]
fn a_plain_folder_of_diffusers_is_sampled_too() {
    let dir = tempfile::tempdir().unwrap();
    let (from, plain) = (trained().join("checkpoints/step-000060"), dir.path().join("plain"));
    for name in
        ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"]
    {
        std::fs::create_dir_all(plain.join(name).parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), plain.join(name)).unwrap();
    }
    let config = plain.join("unet/config.json");
    let text_of = std::fs::read_to_string(&config).unwrap();
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text_of).unwrap();
    keys.retain(|key, _| !key.starts_with("_duet"));
    std::fs::write(&config, serde_json::to_string(&keys).unwrap()).unwrap();
    assert_eq!(files(&plain).len(), 3);
    // A folder without its run draws as the scheduler says, everywhere guided.
    let of = |run: &Path| {
        drawn(&drawing(|d| {
            d.run = run.display().to_string();
            (d.class, d.seeds, d.steps) = ("1".into(), "7".parse().unwrap(), Some(4));
            (d.sampler, d.interval, d.history, d.guidance) =
                (text("ddim"), text("all"), text("0"), vec![2.0]);
        }))
    };
    assert_eq!(of(&plain), of(trained()));
}

#[test]
fn a_model_draws_the_same_before_and_after_it_is_saved() {
    let (dir, config) = (tempfile::tempdir().unwrap(), crate::support::CONFIG);
    let data = crate::support::images(dir.path());
    let mut config = crate::support::configured("digits", config, dir.path(), &data);
    config.train.steps = 2;
    let (folder, images) = (dir.path().join("run"), config.load_data().unwrap());
    let mut session = duet_diffusion::Session::start(config, images, &folder, Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    let here = drawn_by(&session.model().unwrap(), &Drawing::default(), 64);
    session.finish().unwrap();
    let saved = Drawing { run: folder.display().to_string(), ..Drawing::default() };
    assert_eq!(here, drawn(&saved));
}
