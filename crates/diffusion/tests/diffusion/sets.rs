//! Sets of drawn images: what is written, that it is read, and that an interrupted one goes on.
use crate::support::{configured, drawn, files, images, own_run, refused, train, trained};
use crate::tiny::CONFIG;
use duet_diffusion::data::{self, Dataset, FolderOptions, Picture, Shape, Splits};
use duet_diffusion::sample::Seeds;
use duet_diffusion::yardstick::Yardstick;
use duet_diffusion::{
    Device, Drawing, DrawnSet, Error, Model, Result, RunConfig, Session, SetDrawing, SetFormat, SetManifest,
    reproduce,
};
use std::collections::BTreeMap;
use std::path::Path;

/// A set that is asked for, without its model.
struct Asked<'a> {
    drawing: Drawing,
    count: usize,
    seeds: Option<Seeds>,
    yardstick: Option<&'a Yardstick>,
    batch: usize,
}

impl Asked<'_> {
    fn of(count: usize) -> Self {
        let run = trained().display().to_string();
        let drawing = Drawing { run, steps: Some(3), ..Drawing::default() };
        Self { drawing, count, seeds: None, yardstick: None, batch: 64 }
    }

    fn draw(&self, out: &Path) -> Result<DrawnSet> {
        self.draw_until(out, None)
    }

    /// The same, interrupted at step `stop`.
    fn draw_until(&self, out: &Path, stop: Option<usize>) -> Result<DrawnSet> {
        self.draw_with(&Model::of(&self.drawing, &Device::Cpu)?, out, None, stop)
    }

    fn draw_with(
        &self,
        model: &Model,
        out: &Path,
        format: Option<SetFormat>,
        stop: Option<usize>,
    ) -> Result<DrawnSet> {
        let mut steps = 0;
        let (seeds, format) = (self.seeds.as_ref(), SetFormat::of(out, format)?);
        let set = SetDrawing {
            drawing: &self.drawing,
            model,
            count: self.count,
            seeds,
            only_right: self.yardstick,
            out,
            format,
            batch: self.batch,
            device: &Device::Cpu,
        };
        set.run(|_| {
            steps += 1;
            if stop == Some(steps) { Err(Error::caller("stop")) } else { Ok(()) }
        })
    }
}

/// Every image of both splits by class: the planes, in any order.
fn read(path: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let splits = data::open(path, &FolderOptions::default()).unwrap();
    assert!(splits.left_out.is_empty(), "{:?}", splits.left_out);
    let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for set in [&splits.train, &splits.test] {
        for i in 0..set.len() {
            let name = set.classes()[set.label(i) as usize].clone();
            found.entry(name).or_default().push(set.pixels(i).bytes().unwrap().to_vec());
        }
    }
    found.values_mut().for_each(|images| images.sort());
    found
}

#[test]
fn a_set_is_read_with_the_pixels_that_sample_draws() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Asked::of(21);
    let mut expected: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (class, count) in [("left", 11), ("right", 10)] {
        let seeds = Seeds::new(vec![0..=count - 1]).unwrap();
        let images = drawn(&Drawing { class: class.into(), seeds, ..asked.drawing.clone() });
        let pixels = images.into_iter().map(|(_, values)| Picture::from_unit(1, 8, 8, &values).pixels);
        let of_class = expected.entry(class.into()).or_default();
        of_class.extend(pixels);
        of_class.sort();
    }
    let model = Model::of(&asked.drawing, &Device::Cpu).unwrap();
    for (out, format) in [("set", None), ("set.npz", None), ("idx", Some(SetFormat::Idx))] {
        let out = dir.path().join(out);
        let set = asked.draw_with(&model, &out, format, None).unwrap();
        assert_eq!(read(&out), expected, "{}", out.display());
        assert_eq!((set.manifest.kept, set.manifest.drawn, set.manifest.accuracy), (21, 21, None));
        assert_eq!(SetManifest::read(&set.path).unwrap().unwrap(), set.manifest);
        // Whole: nothing is drawn again, and what a killed process did not tidy up is.
        let before = files(dir.path());
        if out.ends_with("set.npz") || out.ends_with("idx") {
            let part = dir.path().join(format!("{}.part/left", out.file_name().unwrap().display()));
            std::fs::create_dir_all(&part).unwrap();
            std::fs::write(part.join("3.png"), "left over").unwrap();
        }
        assert_eq!(asked.draw_with(&model, &out, format, Some(2)).unwrap().found, 21);
        assert_eq!(files(dir.path()), before);
    }
    let names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.ends_with(".part")), "{names:?}");
    reproduce(&dir.path().join("set/right/7.png"), None, 1000, &Device::Cpu).unwrap().check().unwrap();
}

#[test]
fn an_interrupted_set_goes_on_without_drawing_again_and_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Asked { batch: 4, ..Asked::of(22) };
    for name in ["set", "set.npz"] {
        let whole = dir.path().join(format!("whole/{name}"));
        Asked { batch: 64, ..Asked::of(22) }.draw(&whole).unwrap();
        let out = dir.path().join(format!("parts/{name}"));
        let (mut before, mut stops) = (0, 0);
        loop {
            match asked.draw_until(&out, Some(7)) {
                Err(Error::Caller(_)) => stops += 1,
                found => break assert_eq!(found.unwrap().found, before),
            }
            let work = if name == "set" { out.clone() } else { out.with_extension("npz.part") };
            let there =
                files(&work).keys().filter(|path| path.extension().is_some_and(|e| e == "png")).count();
            assert_eq!(there, before + 4, "each part draws one batch and is stopped in the next");
            before = there;
            // A process that is killed leaves such a file, and one that lost its power a file that is cut.
            std::fs::write(work.join("left/.3.png.77-0.tmp"), "half").unwrap();
            if name == "set.npz" {
                for written in ["set.npz", "set.json"] {
                    std::fs::write(out.with_file_name(format!(".{written}.77-0.tmp")), "half").unwrap();
                }
            }
        }
        assert!(stops >= 5, "{stops}");
    }
    assert_eq!(files(&dir.path().join("parts")), files(&dir.path().join("whole")));
    // What is missing or cut is drawn, and nothing else.
    let out = dir.path().join("parts/set");
    std::fs::remove_file(out.join("left/3.png")).unwrap();
    std::fs::write(out.join("right/0.png"), &std::fs::read(out.join("right/0.png")).unwrap()[..100]).unwrap();
    std::fs::copy(out.join("left/1.png"), out.join("left/5.png")).unwrap();
    assert_eq!(asked.draw(&out).unwrap().found, 19);
    assert_eq!(files(&dir.path().join("parts")), files(&dir.path().join("whole")));
}

#[test]
fn another_set_and_other_files_are_not_gone_on_with() {
    let (dir, run) = own_run();
    let out = dir.path().join("set");
    let asked = || Asked {
        drawing: Drawing { run: run.display().to_string(), ..Asked::of(4).drawing },
        ..Asked::of(4)
    };
    asked().draw(&out).unwrap();
    let before = files(&out);
    let other = |change: fn(&mut Asked)| {
        let mut asked = asked();
        change(&mut asked);
        refused(asked.draw(&out))
    };
    let says = |text: String, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{word} not in {text}");
        }
    };
    says(other(|asked| asked.count = 5), &["manifest.json", "count was 4, and is 5"]);
    says(other(|asked| asked.drawing.steps = Some(4)), &["steps was 3, and is 4"]);
    says(other(|asked| asked.drawing.class = "left".into()), &["class was all, and is 0"]);
    says(other(|asked| asked.seeds = Some("5-9".parse().unwrap())), &["seeds was nothing, and is 5-9"]);
    says(other(|asked| asked.drawing.run += "/checkpoints/step-000050"), &["model was"]);
    assert_eq!(files(&out), before);
    // A folder of somebody's own, and a file that only looks like a manifest.
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("notes.txt"), "mine").unwrap();
    says(refused(asked().draw(&own)), &["there is something already"]);
    std::fs::write(own.join("manifest.json"), "{\"version\": 1}").unwrap();
    says(refused(asked().draw(&own)), &["manifest.json", "not the manifest of a set"]);
    std::fs::write(dir.path().join("a.npz"), "mine").unwrap();
    says(refused(asked().draw(&dir.path().join("a.npz"))), &["a.npz", "there is something already"]);
    assert_eq!(files(&own).len(), 2);
}

#[test]
fn what_makes_no_set_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("set");
    let refused_with = |change: fn(&mut Asked), words: &[&str]| {
        let mut asked = Asked::of(4);
        change(&mut asked);
        let text = refused(asked.draw(&out));
        for word in words {
            assert!(text.contains(word), "{word} not in {text}");
        }
        assert!(!out.exists());
    };
    refused_with(|asked| asked.count = 1, &["count 1", "must be 2"]);
    refused_with(|asked| asked.count = 1_000_001, &["to 1000000"]);
    refused_with(|asked| asked.seeds = Some("7".parse().unwrap()), &["seeds 7: 1 seeds", "at least 2"]);
    refused_with(|asked| asked.drawing.class = "left+right".into(), &["no mixtures"]);
    refused_with(|asked| asked.drawing.class = "left,0".into(), &["left is named twice"]);
    refused_with(|asked| asked.drawing.guidance = vec![1.0, 2.0], &["guidance", "one weight"]);
    refused_with(|asked| asked.drawing.noise = Some("x".into()), &["count", "noise"]);
    refused_with(|asked| asked.drawing.steps = Some(0), &["steps"]);
    for name in ["set.png", "set.safetensors"] {
        assert!(refused(Asked::of(4).draw(&dir.path().join(name))).contains("a set goes to a folder"));
    }
    assert!(refused(SetFormat::of(Path::new("a/"), Some(SetFormat::Npz))).contains("does not end in .npz"));
    assert!(refused(SetFormat::of(Path::new("a.npz"), Some(SetFormat::Idx))).contains("the name of a file"));
}

#[test]
fn only_what_the_judge_takes_for_its_class_is_kept() {
    let (dir, run) = own_run();
    let yardstick =
        Yardstick::of(Yardstick::config(Some(&run), None, None).unwrap().load_data().unwrap(), Some(&run))
            .unwrap();
    // Away from the class: some of the images are of the other one.
    let drawing = |weight: f64| Drawing {
        run: run.display().to_string(),
        guidance: vec![weight],
        history: Some("0".parse().unwrap()),
        interval: Some("all".parse().unwrap()),
        steps: Some(3),
        ..Drawing::default()
    };
    let asked = |weight, batch| Asked {
        drawing: drawing(weight),
        batch,
        yardstick: Some(&yardstick),
        ..Asked::of(40)
    };
    let whole = dir.path().join("whole");
    let manifest = asked(0.0, 64).draw(&whole).unwrap().manifest;
    assert_eq!(manifest.kept, 40);
    assert!((45..400).contains(&manifest.drawn), "without guidance about half are right: {}", manifest.drawn);
    assert_eq!(manifest.accuracy, Some(40.0 / manifest.drawn as f64));
    let judge = yardstick.judge().unwrap();
    for (label, class) in manifest.classes.iter().enumerate() {
        let wrong = class.wrong.as_ref().unwrap().to_vec();
        assert_eq!((class.kept, class.drawn), (20, 20 + wrong.len() as u64));
        for seed in 0..class.drawn {
            let path = whole.join(class.folder.as_ref().unwrap()).join(format!("{seed}.png"));
            assert_eq!(path.exists(), !wrong.contains(&seed), "{}", path.display());
            if let Ok(bytes) = std::fs::read(&path) {
                let values = Picture::decode(&bytes).unwrap().to_unit();
                let image = duet_diffusion::Tensor::from_vec(values, (1, 1, 8, 8), &Device::Cpu).unwrap();
                assert_eq!(judge.answers(&image).unwrap(), [label as u32]);
            }
        }
    }
    // However it is drawn, and wherever it is interrupted.
    let out = dir.path().join("parts");
    while let Err(error) = asked(0.0, 7).draw_until(&out, Some(9)) {
        assert!(matches!(error, Error::Caller(_)), "{}", error.chain());
    }
    assert_eq!(files(&out), files(&whole));
    // Far away from its class no image is right: it is given up, and says so.
    let out = dir.path().join("never");
    let text = refused(asked(-6.0, 64).draw(&out));
    assert!(
        text.contains("the judge takes") && text.contains("drawn images") && text.contains("20 are needed"),
        "{text}"
    );
    let noted = SetManifest::read(&out.join("manifest.json")).unwrap().unwrap();
    assert!(!noted.finished && noted.classes.iter().any(|class| class.drawn == 400), "{noted:?}");
}

#[test]
fn awkward_names_of_classes_make_folders_in_the_order_of_the_classes() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["b/c", "..", "CON", "A", "a", "."].map(String::from);
    let shape = Shape { channels: 3, height: 8, width: 8 };
    let set = |count: usize| {
        Dataset::from_fn(shape, names.to_vec(), count, |i, image| {
            image.fill(i as f32 / 20.0 - 0.9);
            (i % names.len()) as u32
        })
        .unwrap()
    };
    let splits = Splits::new("awkward", set(36), set(12)).unwrap();
    let config = configured("digits", &CONFIG.replace("steps = 60", "steps = 2"), dir.path(), dir.path());
    let mut session = Session::start(config, splits, &dir.path().join("run"), Device::Cpu).unwrap();
    session.step().unwrap();
    session.step().unwrap();
    session.finish().unwrap();
    let run = dir.path().join("run").display().to_string();
    let asked = Asked { drawing: Drawing { run, ..Asked::of(13).drawing }, ..Asked::of(13) };
    let out = dir.path().join("set");
    let manifest = asked.draw(&out).unwrap().manifest;
    let classes: Vec<_> = manifest.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(classes, names);
    let splits = data::open(&out, &FolderOptions::default()).unwrap();
    assert_eq!(splits.train.classes(), ["0_b-c", "1_--", "2_CON", "3_A", "4_a", "5_-"]);
    assert!(splits.left_out.is_empty(), "{:?}", splits.left_out);
    assert!(
        files(dir.path())
            .keys()
            .all(|path| path.starts_with("run") || path.starts_with("set") || path.ends_with("tiny.toml"))
    );
    // An archive has the names as they are, and the same order.
    let archive = dir.path().join("set.npz");
    asked.draw(&archive).unwrap();
    let arrays = data::open(&archive, &FolderOptions::default()).unwrap();
    assert_eq!(arrays.train.classes(), names);
    assert_eq!(arrays.train.shape(), shape);
    let by_label = |splits: &Splits| {
        let mut all: Vec<(u32, Vec<u8>)> = [&splits.train, &splits.test]
            .into_iter()
            .flat_map(|set| (0..set.len()).map(|i| (set.label(i), set.pixels(i).bytes().unwrap().to_vec())))
            .collect();
        all.sort();
        all
    };
    assert_eq!(by_label(&arrays), by_label(&splits));
    let refused = refused(asked.draw_with(
        &Model::of(&asked.drawing, &Device::Cpu).unwrap(),
        &dir.path().join("idx"),
        Some(SetFormat::Idx),
        None,
    ));
    assert!(refused.contains("format idx: IDX files hold grey images"), "{refused}");
}

#[test]
fn a_model_without_classes_makes_a_set_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let _ = std::fs::remove_dir_all(data.join("right"));
    let config: RunConfig = configured("digits", CONFIG, dir.path(), &data);
    train(config, &dir.path().join("run"));
    let run = dir.path().join("run").display().to_string();
    let asked = Asked { drawing: Drawing { run, ..Asked::of(5).drawing }, ..Asked::of(5) };
    asked.draw(&dir.path().join("set")).unwrap();
    assert_eq!(read(&dir.path().join("set"))["left"].len(), 5);
}
