//! Measuring a tiny trained model, and samples from elsewhere.
use crate::support::{
    CONFIG, assert_reproduces, configured, drawing, drawn, heard, images, own_run, refused, text, train,
    trained,
};
use candle_core::{DType, Tensor};
use duet_diffusion::data::Picture;
use duet_diffusion::evaluation::{self, Evaluation, EvaluationDrawing, Samples};
use duet_diffusion::yardstick::{self, Yardstick};
use duet_diffusion::{Device, Drawing, Model, Resume, RunConfig, RunRecord, Session, Sweep, Swept, classify};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn open(run: &Path) -> Model {
    Model::open(run.to_str().unwrap(), &Device::Cpu).unwrap()
}

fn yardstick_of(run: &Path, data: Option<&Path>) -> Yardstick {
    let data = data.map(|path| path.to_str().unwrap());
    Yardstick::of(Yardstick::config(Some(run), data, None).unwrap().load_data().unwrap(), Some(run)).unwrap()
}

/// Measures `count` images of a run in four steps, and `classify` held-out ones, as `eval` does.
fn measure(run: &Path, yardstick: &Yardstick, count: usize, classify: usize, out: &Path) -> Value {
    let model = open(run);
    let drawing = Drawing { run: run.display().to_string(), steps: Some(4), ..Drawing::default() };
    let labels = yardstick::labels_of(&yardstick.splits, &model).unwrap();
    let device = &Device::Cpu;
    let draws =
        EvaluationDrawing { drawing: &drawing, model: &model, labels: &labels, count, batch: 64, device };
    let samples = Samples::drawn(&draws, |_| Ok(())).unwrap();
    let mut found = evaluation::measured(yardstick, &samples).unwrap();
    evaluation::of_model(&mut found.file, &model, yardstick, classify).unwrap();
    written(out, &samples, &found, yardstick)
}

fn written(out: &Path, samples: &Samples, found: &Evaluation, yardstick: &Yardstick) -> Value {
    let [file, sheet, nearest] = evaluation::write(out, samples, found, yardstick).unwrap();
    assert!(sheet.ends_with("eval.png") && sheet.is_file());
    assert!(nearest.ends_with("eval-nearest.png") && nearest.is_file());
    json(&file)
}

#[test]
fn a_run_is_measured_and_its_classifier_kept() {
    let (_dir, run) = own_run();
    let (yardstick, said) = heard(|| yardstick_of(&run, None));
    assert!(said.contains("training a classifier"), "{said}");
    let found = measure(&run, &yardstick, 40, 4, &run);
    assert_eq!((&found["images"], &found["version"]), (&Value::from(40), &Value::from(1)));
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "the classes of the data are halves that are bright: {accuracy}");
    let rows = found["confusion"].as_array().unwrap().iter();
    let counts: i64 = rows.flat_map(|row| row.as_array().unwrap()).map(|n| n.as_i64().unwrap()).sum();
    assert_eq!(counts, 40);
    let frechet = &found["frechet"];
    let of = |key: &str| frechet[key].as_f64().unwrap();
    assert!(of("low") <= of("value") && of("value") <= of("high") && of("floor") >= 0.0, "{frechet}");
    let second = &found["second_judge"];
    for judge in [&found, second] {
        let equal = &judge["equal_counts"];
        assert!(equal["images"].as_u64().unwrap() <= equal["reference"].as_u64().unwrap(), "{equal}");
        for kind in ["drawn", "real"] {
            assert!(equal[kind]["frechet"].as_f64().unwrap() >= 0.0, "{equal}");
        }
        let test = &judge["two_sample"];
        assert!((0.0..=1.0).contains(&test["accuracy"].as_f64().unwrap()), "{test}");
        let kernel = |key: &str| judge["kernel_interval"][key].as_f64().unwrap();
        let value = judge["kernel_distance"].as_f64().unwrap();
        assert!(kernel("low") <= value && value <= kernel("high"), "{judge}");
    }
    assert!(second["accuracy"].as_f64().unwrap() > 0.9 && second["frechet"] != found["frechet"], "{second}");
    for key in [
        "clipped_density",
        "clipped_coverage",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "bits_per_dimension",
        "diffusion_classifier_accuracy",
    ] {
        assert!(found[key].as_f64().is_some_and(f64::is_finite), "{key}: {}", found[key]);
    }
    let losses = found["denoising_loss"].as_array().unwrap();
    assert!(losses.len() == 20 && losses.iter().all(|at| at["loss"].as_f64().is_some_and(|loss| loss > 0.0)));
    assert_reproduces(&run.join("eval.png"));
    // The classifiers were kept, so the same gives the same numbers without training one.
    let (yardstick, said) = heard(|| yardstick_of(&run, None));
    assert!(!said.contains("training a classifier"), "{said}");
    assert_eq!(measure(&run, &yardstick, 40, 4, &run), found);
    let page = page(&run);
    assert!(page.contains("Images that were measured") && page.contains("closest to a training image"));
    samples_from_elsewhere_are_measured_alike(&run, &yardstick, &found);
}

/// The page about a run.
fn page(run: &Path) -> String {
    let (record, out) = (RunRecord::read(run.to_str().unwrap()).unwrap(), run.join("page.html"));
    duet_diffusion::report(&record, &out).unwrap();
    std::fs::read_to_string(out).unwrap()
}

/// The same images, from a file.
fn samples_from_elsewhere_are_measured_alike(run: &Path, yardstick: &Yardstick, ours: &Value) {
    let drawing = drawing(|d| (d.seeds, d.steps) = ("0-19".parse().unwrap(), Some(4)));
    let (labels, values): (Vec<i64>, Vec<Vec<f32>>) =
        drawn(&drawing).into_iter().map(|(label, values)| (i64::from(label), values)).unzip();
    let images = Tensor::from_vec(values.concat(), (40, 1, 8, 8), &Device::Cpu).unwrap();
    let labels = Tensor::from_vec(labels, 40, &Device::Cpu).unwrap();
    let elsewhere = run.parent().unwrap().join("elsewhere");
    let write = |images: &Tensor, labels: &Tensor| {
        let tensors = [("images", images), ("labels", labels)];
        let tensors: BTreeMap<_, _> = tensors
            .into_iter()
            .map(|(name, tensor)| (name.to_string(), tensor.contiguous().unwrap()))
            .collect();
        let path = elsewhere.with_extension("safetensors");
        std::fs::write(&path, duet_model::weights_to_bytes(&tensors).unwrap()).unwrap();
        heard(|| Samples::read(&path, &yardstick.splits))
    };
    let samples = write(&images, &labels).0.unwrap();
    let found = evaluation::measured(yardstick, &samples).unwrap();
    let theirs = written(&elsewhere, &samples, &found, yardstick);
    for key in ["accuracy", "frechet", "precision", "memorisation", "confusion"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    assert!(theirs.get("bits_per_dimension").is_none());
    samples_of_another_range_or_shape_are_told(write, &images, &labels);
}

fn samples_of_another_range_or_shape_are_told(
    write: impl Fn(&Tensor, &Tensor) -> (duet_diffusion::Result<Samples>, String),
    images: &Tensor,
    labels: &Tensor,
) {
    let (read, said) = write(&((images + 1.0).unwrap() / 2.0).unwrap(), labels);
    read.unwrap();
    assert!(said.contains("no value is negative") && said.contains("2 v - 1"), "{said}");
    let narrow = |tensor: &Tensor, dim, count| tensor.narrow(dim, 0, count).unwrap();
    for (images, labels, expected) in [
        (((images + 1.0).unwrap() * 127.5).unwrap(), labels.clone(), "v / 127.5 - 1"),
        (narrow(images, 0, 1), narrow(labels, 0, 1), "images are 1, and at least 6"),
        (images.clone(), narrow(labels, 0, 7), "labels are [7] for 40 images"),
        (images.to_dtype(DType::U8).unwrap(), labels.clone(), "elsewhere.safetensors: "),
        (narrow(images, 2, 4), labels.clone(), "those of the data are [n, 1, 8, 8]"),
    ] {
        let error = refused(write(&images, &labels).0);
        assert!(error.contains("elsewhere.safetensors: ") && error.contains(expected), "{error}");
    }
}

/// Labels that are swapped make another data set of the same shape and number of classes.
#[test]
fn other_data_are_judged_by_their_own_classifier() {
    let (dir, run) = own_run();
    let data = images(dir.path());
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::rename(data.join("left"), other.join("right")).unwrap();
    std::fs::rename(data.join("right"), other.join("left")).unwrap();
    drop(yardstick_of(&run, None));
    let before = std::fs::read(run.join("judge.safetensors")).unwrap();
    let (yardstick, said) = heard(|| yardstick_of(&run, Some(&other)));
    assert!(said.contains("training a classifier"), "{said}");
    let found = measure(&run, &yardstick, 40, 0, &dir.path().join("swapped"));
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!(accuracy < 0.1, "the classes are swapped: {accuracy}");
    let (_, said) = heard(|| yardstick_of(&run, Some(&other)));
    assert!(!said.contains("training a classifier"), "it was kept beside the run's own");
    assert_eq!(std::fs::read(run.join("judge.safetensors")).unwrap(), before);
}

/// A classifier needs two classes; the rest is measured.
#[test]
fn one_class_is_measured_by_what_needs_no_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = images(dir);
    let one = dir.join("one");
    std::fs::create_dir_all(one.join("train")).unwrap();
    std::fs::create_dir_all(one.join("test/a")).unwrap();
    std::fs::rename(data.join("right"), one.join("train/a")).unwrap();
    for i in 0..8 {
        let name = format!("{i:02}.png");
        std::fs::rename(data.join("left").join(&name), one.join("test/a").join(&name)).unwrap();
    }
    let mut config = configured("digits", CONFIG, dir, &one);
    let run = dir.join("run");
    config.save.eval_every = 5;
    let begun = config.load_data().and_then(|data| Session::start(config.clone(), data, &run, Device::Cpu));
    let error = refused(begun);
    assert!(error.contains("eval-every 5") && error.contains("images of 1"), "{error}");
    config.save.eval_every = 0;
    train(config, &run);
    let found = measure(&run, &yardstick_of(&run, None), 8, 0, &run);
    assert!(found.get("accuracy").is_none() && found["bits_per_dimension"].as_f64().is_some(), "{found}");
    assert!(found["memorisation"]["copied_share"].as_f64().is_some());
    // A sweep's scores and the choice of an average begin with it.
    assert!(refused(Yardstick::new(Some(&run), "--score")).contains("images of 1"));
}

/// Labels may leave classes without an image, of which nothing is learnt.
#[test]
fn classes_without_an_image_are_neither_drawn_nor_scored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let idx = dir.join("idx");
    std::fs::create_dir(&idx).unwrap();
    for (split, count) in [("train", 40u32), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|i| 1 + (i % 2) as u8).collect();
        let bright = |i: u32, p: u32| (p % 8 >= 4) == (i % 2 == 1);
        let pixels = (0..count * 64).map(|at| if bright(at / 64, at % 64) { 200 } else { (at / 64) as u8 });
        let sizes = |sizes: &[u32]| sizes.iter().flat_map(|size| size.to_be_bytes()).collect::<Vec<u8>>();
        let images = [sizes(&[0x803, count, 8, 8]), pixels.collect()].concat();
        std::fs::write(idx.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        let labels = [sizes(&[0x801, count]), labels].concat();
        std::fs::write(idx.join(format!("{split}-labels-idx1-ubyte")), labels).unwrap();
    }
    let mut config = configured("digits", CONFIG, dir, &idx);
    config.save.eval_every = 60;
    let run = dir.join("run");
    let ((), said) = heard(|| train(config, &run));
    assert!(said.contains("8 of 10 classes have no training image"), "{said}");
    let metrics = duet_diffusion::metrics::read(&run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics[59].score.as_ref().unwrap().accuracy, 1.0);
    let height = Picture::read(&run.join("samples/step-000060.png")).unwrap().height;
    assert!(height < 10 * (8 * 2 + 2), "two rows, not ten: {height}");
    let found = measure(&run, &yardstick_of(&run, None), 20, 0, &run);
    assert_eq!((&found["images"], &found["accuracy_by_class"]["0"]), (&Value::from(20), &Value::Null));
    assert!(found["accuracy"].as_f64().unwrap() > 0.9, "{found}");
}

/// A run that was stopped between two measurements goes on to the same ones.
#[test]
fn a_run_measures_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let mut config = configured("digits", CONFIG, dir.path(), &data);
    config.save.eval_every = 25;
    let run = dir.path().join("scored");
    train(config, &run);
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scored: Vec<_> = lines.iter().filter(|line| !line["score"].is_null()).collect();
    assert!(scored.iter().map(|line| line["step"].as_u64().unwrap()).eq([25, 50, 60]), "{metrics}");
    assert!(scored[2]["score"]["accuracy"].as_f64().unwrap() > 0.9, "{}", scored[2]);
    // As a kill leaves them, while a snapshot or the classifier is written.
    let half = ["ema/.tmpAb3xY9", ".judge.safetensors.7-0.tmp"].map(|name| run.join(name));
    half.iter().for_each(|path| std::fs::write(path, "half").unwrap());
    from_step_50(&run);
    assert!(half.iter().all(|path| !path.exists()));
    assert_eq!(std::fs::read_to_string(run.join("metrics.jsonl")).unwrap(), metrics);
    let page = page(&run);
    assert!(page.contains("Fréchet distance of drawn images") && !page.contains("Images that were measured"));
    a_classifier_that_is_damaged_or_cannot_be_kept_ends_nothing(&run, &metrics);
}

/// Trains again from the checkpoint before the last; what is said.
fn from_step_50(run: &Path) -> String {
    std::fs::remove_dir_all(run.join("checkpoints/step-000060")).unwrap();
    let trained = || {
        let mut session = Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu).unwrap();
        while !session.is_done() {
            session.step().unwrap();
        }
        session.finish().unwrap();
    };
    heard(trained).1
}

/// It is trained again to the same one, and what it was needed for goes on.
fn a_classifier_that_is_damaged_or_cannot_be_kept_ends_nothing(run: &Path, measured: &str) {
    let judge = run.join("judge.safetensors");
    let whole = std::fs::read(&judge).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 64;
    for bytes in [&whole[..100], &[], &flipped[..]] {
        std::fs::write(&judge, bytes).unwrap();
        let said = from_step_50(run);
        assert!(said.contains("judge.safetensors") && said.contains("is trained again"), "{said}");
        assert_eq!(std::fs::read(&judge).unwrap(), whole, "the training depends on nothing else");
        assert_eq!(std::fs::read_to_string(run.join("metrics.jsonl")).unwrap(), measured);
    }
    // In the place of a folder no file can be written, whoever tries.
    std::fs::remove_file(&judge).unwrap();
    std::fs::create_dir_all(judge.join("full")).unwrap();
    let said = from_step_50(run);
    assert!(said.contains("the classifier is not kept"), "{said}");
    assert_eq!(std::fs::read_to_string(run.join("metrics.jsonl")).unwrap(), measured);
}

/// Too few held-out images are said before anything is trained.
#[test]
fn what_cannot_be_measured_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let few = dir.path().join("few");
    let picture = images(dir.path()).join("left/00.png");
    for class in ["a", "b"] {
        std::fs::create_dir_all(few.join(class)).unwrap();
        std::fs::copy(&picture, few.join(class).join("0.png")).unwrap();
    }
    let mut config = configured("digits", CONFIG, dir.path(), &few);
    config.save.eval_every = 5;
    let run = dir.path().join("unmeasured");
    let data = config.load_data().unwrap();
    let error = refused(Session::start(config, data, &run, Device::Cpu));
    assert!(error.contains("eval-every 5") && !run.exists(), "{error}");
    let model = open(trained());
    let digits = RunConfig::preset("digits").unwrap().load_data().unwrap();
    let error = refused(yardstick::labels_of(&digits, &model));
    assert!(error.contains("10 classes") && error.contains("knows 2"), "{error}");
    // One image for each class and seed is what there is a class asked for of.
    let data = Yardstick::config(Some(trained()), None, None).unwrap().load_data().unwrap();
    let labels = yardstick::labels_of(&data, &model).unwrap();
    let several = drawing(|d| d.guidance = vec![1.0, 2.0]);
    let between = drawing(|d| d.interpolate = text("classes:3"));
    for drawing in [&several, &between] {
        let device = &Device::Cpu;
        let draws =
            EvaluationDrawing { drawing, model: &model, labels: &labels, count: 40, batch: 64, device };
        let error = refused(Samples::drawn(&draws, |_| panic!("it is drawn")));
        assert!(error.contains("one image for each class and seed is measured"), "{error}");
    }
}

fn swept(sweep: &Sweep) -> Swept {
    sweep.run(|_, _| {}).unwrap()
}

#[test]
fn a_sweep_is_a_table_and_a_sheet_and_goes_on_where_it_was() {
    let (dir, run) = own_run();
    let out = dir.path().join("sweep");
    let drawing = drawing(|d| {
        (d.run, d.seeds, d.steps) = (run.display().to_string(), "0-1".parse().unwrap(), Some(3));
    });
    let sweep = Sweep {
        rows: "guidance=1,2.5",
        columns: Some("sampler=ddim,unipc"),
        drawing: &drawing,
        score: 20,
        batch: 64,
        out: &out,
        device: &Device::Cpu,
        job: None,
    };
    let mut told = Vec::new();
    let found = sweep.run(|done, of| told.push((done, of))).unwrap();
    assert_eq!(told, [0, 1, 2, 3, 4].map(|done| (done, 4)), "before the first, and after each");
    let table = std::fs::read_to_string(out.join("table.csv")).unwrap();
    assert_eq!((found.cells, &found.csv), (4, &table));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 5 && lines[0].starts_with("guidance,sampler,evaluations,"), "{table}");
    assert!(lines[1].starts_with("1,ddim,3.00,") && lines[4].starts_with("2.5,unipc,4.00,"), "{table}");
    assert!(lines[0].ends_with("accuracy,frechet,precision,recall,density,coverage"), "{table}");
    // A cell that is there is not drawn again: its rate would differ. One that is not is.
    std::fs::remove_file(&found.sheet).unwrap();
    assert_eq!(swept(&sweep).csv, table);
    assert_reproduces(&found.sheet);
    let cell = std::fs::read_dir(out.join("cells")).unwrap().map(|entry| entry.unwrap().path());
    let cell = cell.into_iter().find(|path| path.extension().is_some_and(|e| e == "png")).unwrap();
    assert_reproduces(&cell);
    // Another model in each cell, and none elsewhere.
    let models = dir.path().join("models");
    let two = Drawing { run: "nowhere".into(), seeds: "0".parse().unwrap(), ..drawing.clone() };
    let rows = format!("run={0}/checkpoints/step-000050;{0}", run.display());
    let plain = Sweep { rows: &rows, columns: None, drawing: &two, score: 0, out: &models, ..sweep };
    swept(&plain);
    assert_reproduces(&models.join("sheet.png"));
    let ends = Drawing { interval: text("0.2:9"), ..drawing.clone() };
    let (rows, columns) = ("interval-high=1,5", Some("sharpness=1,3"));
    swept(&Sweep { rows, columns, drawing: &ends, out: &dir.path().join("ends"), ..plain });
}

#[test]
fn a_sweep_names_what_is_wrong_with_an_axis() {
    let dir = tempfile::tempdir().unwrap();
    let drawing = drawing(|_| {});
    for (rows, expected) in [
        ("up=1", "no flag of sample"),
        ("steps=x", "no value that --steps takes"),
        ("guidance=x", "no value that --guidance takes"),
        ("steps", "rows steps"),
        ("steps=", "rows steps="),
        ("scale=99", "scale 99: must be 1 to 32"),
        ("strength=0.5", "strength: goes with image alone"),
        ("history=much", "--history much: WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more"),
        ("rule=apg:7", "--rule apg:7: plain, zero-star, apg or apg:ETA[:NORM[:MOMENTUM]] with ETA 0 to 1"),
        ("rescale=2", "2: must be 0 to 1"),
        ("sharpness=-1", "--spacing sigmoid:-1: sharpness = -1 must be at least 0"),
    ] {
        let out = dir.path().join("sweep");
        let device = &Device::Cpu;
        let sweep = Sweep {
            rows,
            columns: None,
            drawing: &drawing,
            score: 0,
            batch: 64,
            out: &out,
            device,
            job: None,
        };
        let error = refused(sweep.run(|_, _| {}));
        assert!(error.contains(expected), "{rows}: {error}");
        assert!(!out.exists(), "{rows}");
    }
}

#[test]
fn a_model_says_what_it_sees() {
    let dir = tempfile::tempdir().unwrap();
    let model = open(trained());
    let right =
        drawing(|d| (d.class, d.seeds, d.guidance) = ("right".into(), "3".parse().unwrap(), vec![3.0]));
    let right = Drawing { steps: None, ..right };
    let path = dir.path().join("seen.png");
    Picture::from_unit(1, 8, 8, &drawn(&right)[0].1).write_png(&path).unwrap();
    assert_eq!(classify::picture(&model, &path).unwrap(), 1);
    let data = Yardstick::config(Some(trained()), None, None).unwrap().load_data().unwrap();
    let (held_out, labels) = yardstick::tensors(&data.test.take_per_class(3)).unwrap();
    let found = classify::classified(&model, &held_out).unwrap();
    assert_eq!((found.classes.len(), labels.len()), (6, 6));
    let error = refused(classify::check(&model, 10));
    assert!(error.contains("10 classes") && error.contains("knows 2"), "{error}");
}
