//! Measuring a tiny trained model, by the command line.
use crate::support::{drawn_again, run, train};
use serde_json::Value;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn models_and_samples_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    a_run_is_measured_and_its_classifier_kept(dir);
    samples_from_elsewhere_are_measured_alike(dir);
    a_sweep_is_a_table_and_a_sheet_and_goes_on_where_it_was(dir);
    a_model_says_what_it_sees(dir);
    a_run_measures_itself(dir);
    what_cannot_be_measured_is_not_begun(dir);
    other_data_are_judged_by_their_own_classifier(dir);
    a_classifier_that_is_damaged_or_cannot_be_kept_ends_nothing(dir);
    samples_of_another_range_are_told(dir);
}

/// Labels that are swapped make another data set of the same shape and number of classes.
fn other_data_are_judged_by_their_own_classifier(dir: &Path) {
    for (name, class) in [("left", "a"), ("right", "b")] {
        let folder = dir.join("other").join(if class == "a" { "right" } else { "left" });
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(dir.join("data").join(name)).unwrap().flatten() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let flags = ["eval", "--run", "run", "--n", "40", "--classify", "0", "--out", "swapped"];
    let flags = [&flags[..], &["--data", "other"]].concat();
    let before = std::fs::read(dir.join("run/judge.safetensors")).unwrap();
    assert!(run(dir, &flags, 0).contains("training a classifier"));
    let accuracy = json(&dir.join("swapped/eval.json"))["accuracy"].as_f64().unwrap();
    assert!(accuracy < 0.1, "the classes are swapped: {accuracy}");
    assert!(!run(dir, &flags, 0).contains("training a classifier"), "it was kept beside the run's own");
    assert_eq!(std::fs::read(dir.join("run/judge.safetensors")).unwrap(), before);
}

/// It is trained again to the same one, and what it was needed for goes on.
fn a_classifier_that_is_damaged_or_cannot_be_kept_ends_nothing(dir: &Path) {
    let judge = dir.join("scored/judge.safetensors");
    let (whole, metrics) = (std::fs::read(&judge).unwrap(), dir.join("scored/metrics.jsonl"));
    let measured = std::fs::read_to_string(&metrics).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 64;
    for bytes in [&whole[..100], &[], &flipped[..]] {
        std::fs::write(&judge, bytes).unwrap();
        std::fs::remove_dir_all(dir.join("scored/checkpoints/step-000060")).unwrap();
        let text = run(dir, &["train", "--resume", "scored"], 0);
        assert!(text.contains("judge.safetensors") && text.contains("is trained again"), "{text}");
        assert_eq!(std::fs::read(&judge).unwrap(), whole, "the training depends on nothing else");
        assert_eq!(std::fs::read_to_string(&metrics).unwrap(), measured);
    }
    // In the place of a folder no file can be written, whoever tries.
    std::fs::remove_file(&judge).unwrap();
    std::fs::create_dir_all(judge.join("full")).unwrap();
    std::fs::remove_dir_all(dir.join("scored/checkpoints/step-000060")).unwrap();
    let text = run(dir, &["train", "--resume", "scored"], 0);
    assert!(text.contains("the classifier is not kept"), "{text}");
    assert_eq!(std::fs::read_to_string(&metrics).unwrap(), measured);
}

fn samples_of_another_range_are_told(dir: &Path) {
    let tensors = duet_model::read_tensors(&dir.join("x.safetensors"), &candle_core::Device::Cpu).unwrap();
    let (images, labels) = (&tensors["images"], &tensors["labels"]);
    let write = |name: &str, images: candle_core::Tensor, labels: &candle_core::Tensor| {
        let tensors = std::collections::HashMap::from([("images", images), ("labels", labels.clone())]);
        candle_core::safetensors::save(&tensors, dir.join(name)).unwrap();
    };
    let said = |name: &str, code: i32| {
        run(dir, &["eval", "--run", "run", "--samples", name, "--out", "elsewhere"], code)
    };
    write("unit.safetensors", ((images + 1.0).unwrap() / 2.0).unwrap(), labels);
    let text = said("unit.safetensors", 0);
    assert!(text.contains("no value is negative") && text.contains("2 v - 1"), "{text}");
    write("bytes.safetensors", ((images + 1.0).unwrap() * 127.5).unwrap(), labels);
    let text = said("bytes.safetensors", 4);
    assert!(text.contains("bytes.safetensors: values from") && text.contains("v / 127.5 - 1"), "{text}");
    write("one.safetensors", images.narrow(0, 0, 1).unwrap(), &labels.narrow(0, 0, 1).unwrap());
    assert!(said("one.safetensors", 4).contains("images are 1, and at least 6"));
    write("pairs.safetensors", images.clone(), &labels.narrow(0, 0, 7).unwrap());
    assert!(said("pairs.safetensors", 4).contains("labels are [7] for 40 images"));
    write("u8.safetensors", images.to_dtype(candle_core::DType::U8).unwrap(), labels);
    assert!(said("u8.safetensors", 4).contains("u8.safetensors: "));
    write("flat.safetensors", images.narrow(2, 0, 4).unwrap(), labels);
    assert!(said("flat.safetensors", 4).contains("those of the data are [n, 1, 8, 8]"));
    // Where the results cannot go is found before the work.
    let text = run(dir, &["eval", "--run", "run", "--out", "tiny.toml/x"], 6);
    assert!(!text.contains("denoised") && text.contains("tiny.toml/x"), "{text}");
}

/// A classifier needs two classes; the rest is measured.
#[test]
fn one_class_is_measured_by_what_needs_no_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    crate::support::images(dir);
    crate::support::config(dir);
    std::fs::create_dir_all(dir.join("only")).unwrap();
    std::fs::rename(dir.join("data/left"), dir.join("only/test")).unwrap();
    std::fs::create_dir_all(dir.join("one/train")).unwrap();
    std::fs::create_dir_all(dir.join("one/test/a")).unwrap();
    std::fs::rename(dir.join("data/right"), dir.join("one/train/a")).unwrap();
    for i in 0..8 {
        let name = format!("{i:02}.png");
        std::fs::rename(dir.join("only/test").join(&name), dir.join("one/test/a").join(&name)).unwrap();
    }
    let flags = ["train", "--config", "tiny.toml", "--data", "one", "--out", "run"];
    let text = run(dir, &[&flags[..], &["--eval-every", "5"]].concat(), 2);
    assert!(text.contains("--eval-every 5") && text.contains("images of 1"), "{text}");
    run(dir, &flags, 0);
    let text = run(dir, &["eval", "--run", "run", "--n", "8", "--classify", "0", "--steps", "2"], 0);
    assert!(text.contains("not measured") && !text.contains("NaN") && text.contains("copied"), "{text}");
    let found = json(&dir.join("run/eval.json"));
    assert!(found.get("accuracy").is_none() && found["bits_per_dimension"].as_f64().is_some(), "{found}");
    assert!(found["memorisation"]["copied_share"].as_f64().is_some());
    for flags in [
        &["sweep", "--run", "run", "--rows", "steps=1", "--score", "20"][..],
        &["ema", "--run", "run", "--sweep"],
    ] {
        assert!(run(dir, flags, 2).contains("images of 1"), "{flags:?}");
    }
}

/// Labels may leave classes without an image, of which nothing is learnt.
#[test]
fn classes_without_an_image_are_neither_drawn_nor_scored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    crate::support::config(dir);
    std::fs::create_dir(dir.join("idx")).unwrap();
    for (split, count) in [("train", 40u32), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|i| 1 + (i % 2) as u8).collect();
        let bright = |i: u32, p: u32| (p % 8 >= 4) == (i % 2 == 1);
        let pixels = (0..count * 64).map(|at| if bright(at / 64, at % 64) { 200 } else { (at / 64) as u8 });
        let sizes = |sizes: &[u32]| sizes.iter().flat_map(|size| size.to_be_bytes()).collect::<Vec<u8>>();
        let images = [sizes(&[0x803, count, 8, 8]), pixels.collect()].concat();
        std::fs::write(dir.join(format!("idx/{split}-images-idx3-ubyte")), images).unwrap();
        let labels = [sizes(&[0x801, count]), labels].concat();
        std::fs::write(dir.join(format!("idx/{split}-labels-idx1-ubyte")), labels).unwrap();
    }
    let flags = ["train", "--config", "tiny.toml", "--data", "idx", "--out", "run", "--eval-every", "60"];
    let text = run(dir, &flags, 0);
    assert!(
        text.contains("8 of 10 classes have no training image") && text.contains("60: 100.0 % right"),
        "{text}"
    );
    let (_, height) = image_sides(&dir.join("run/samples/step-000060.png"));
    assert!(height < 10 * (8 * 2 + 2), "two rows, not ten: {height}");
    run(dir, &["eval", "--run", "run", "--n", "20", "--classify", "0"], 0);
    let found = json(&dir.join("run/eval.json"));
    assert_eq!((&found["images"], &found["accuracy_by_class"]["0"]), (&Value::from(20), &Value::Null));
    assert!(found["accuracy"].as_f64().unwrap() > 0.9, "{found}");
}

fn image_sides(path: &Path) -> (usize, usize) {
    let picture = duet_data::Picture::read(path).unwrap();
    (picture.width, picture.height)
}

/// A run that was stopped between two measurements goes on to the same ones.
fn a_run_measures_itself(dir: &Path) {
    let flags = ["train", "--config", "tiny.toml", "--data", "data", "--eval-every", "25"];
    let text = run(dir, &[&flags[..], &["--out", "scored"]].concat(), 0);
    assert!(text.contains("% right, Fréchet distance"), "{text}");
    let metrics = std::fs::read_to_string(dir.join("scored/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scored: Vec<_> = lines.iter().filter(|line| !line["score"].is_null()).collect();
    assert!(scored.iter().map(|line| line["step"].as_u64().unwrap()).eq([25, 50, 60]), "{metrics}");
    assert!(scored[2]["score"]["accuracy"].as_f64().unwrap() > 0.9, "{}", scored[2]);
    std::fs::remove_dir_all(dir.join("scored/checkpoints/step-000060")).unwrap();
    // As a kill leaves them, while a snapshot or the classifier is written.
    let half = ["scored/ema/.tmpAb3xY9", "scored/.judge.safetensors.7-0.tmp"].map(|name| dir.join(name));
    half.iter().for_each(|path| std::fs::write(path, "half").unwrap());
    run(dir, &["train", "--resume", "scored"], 0);
    assert!(half.iter().all(|path| !path.exists()));
    assert_eq!(std::fs::read_to_string(dir.join("scored/metrics.jsonl")).unwrap(), metrics);
    run(dir, &["report", "scored", "--out", "report.html"], 0);
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("Fréchet distance of drawn images") && !page.contains("Images that were measured"));
    run(dir, &["report", "run", "--out", "report.html"], 0);
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("Images that were measured") && page.contains("closest to a training image"));
}

/// Too few held-out images are said before anything is trained.
fn what_cannot_be_measured_is_not_begun(dir: &Path) {
    for class in ["a", "b"] {
        std::fs::create_dir_all(dir.join("few").join(class)).unwrap();
        std::fs::copy(dir.join("again.png"), dir.join("few").join(class).join("0.png")).unwrap();
    }
    let flags = ["train", "--config", "tiny.toml", "--data", "few", "--out", "unmeasured"];
    let text = run(dir, &[&flags[..], &["--eval-every", "5"]].concat(), 2);
    assert!(text.contains("--eval-every 5") && !dir.join("unmeasured").exists(), "{text}");
}

fn a_run_is_measured_and_its_classifier_kept(dir: &Path) {
    let flags = ["eval", "--run", "run", "--n", "40", "--classify", "4", "--steps", "4"];
    let text = run(dir, &flags, 0);
    assert!(text.contains("training a classifier") && text.contains("class accuracy"), "{text}");
    let found = json(&dir.join("run/eval.json"));
    assert_eq!((&found["images"], &found["version"]), (&Value::from(40), &Value::from(1)));
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "the classes of the data are halves that are bright: {accuracy}");
    let counts: i64 = found["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|n| n.as_i64().unwrap())
        .sum();
    assert_eq!(counts, 40);
    let frechet = &found["frechet"];
    let of = |key: &str| frechet[key].as_f64().unwrap();
    assert!(of("low") <= of("value") && of("value") <= of("high") && of("floor") >= 0.0, "{frechet}");
    for key in [
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
    for picture in ["eval.png", "eval-nearest.png"] {
        assert!(dir.join("run").join(picture).is_file(), "{picture}");
    }
    drawn_again(dir, "run/eval.png");
    // The classifier was kept, so the same command gives the same numbers without training one.
    let again = run(dir, &flags, 0);
    assert!(!again.contains("training a classifier"), "{again}");
    assert_eq!(json(&dir.join("run/eval.json")), found);
}

fn samples_from_elsewhere_are_measured_alike(dir: &Path) {
    let drawn = ["sample", "--run", "run", "--seeds", "0-19", "--steps", "4", "--out", "x.safetensors"];
    run(dir, &drawn, 0);
    run(dir, &["eval", "--run", "run", "--samples", "x.safetensors", "--out", "elsewhere"], 0);
    let (ours, theirs) = (json(&dir.join("run/eval.json")), json(&dir.join("elsewhere/eval.json")));
    for key in ["accuracy", "frechet", "precision", "memorisation", "confusion"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    assert!(theirs.get("bits_per_dimension").is_none());
    let text = run(dir, &["eval", "--run", "run", "--samples", "mask.png"], 4);
    assert!(text.contains("mask.png"), "{text}");
    let text = run(dir, &["eval", "--run", "run", "--data", "digits", "--n", "4"], 2);
    assert!(text.contains("10 classes") && text.contains("knows 2"), "{text}");
}

fn a_sweep_is_a_table_and_a_sheet_and_goes_on_where_it_was(dir: &Path) {
    let flags = [
        "sweep",
        "--run",
        "run",
        "--rows",
        "guidance=1,2.5",
        "--columns",
        "sampler=ddim,unipc",
        "--seeds",
        "0-1",
    ];
    let text = run(dir, &[&flags[..], &["--steps", "3", "--score", "20", "--out", "sweep"]].concat(), 0);
    let table = std::fs::read_to_string(dir.join("sweep/table.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 5 && lines[0].starts_with("guidance,sampler,evaluations,"), "{table}");
    assert!(lines[1].starts_with("1,ddim,3.00,") && lines[4].starts_with("2.5,unipc,4.00,"), "{table}");
    assert!(
        lines[0].ends_with("accuracy,frechet,precision,recall,density,coverage") && text.contains("4 cells")
    );
    // A cell that is there is not drawn again: its rate would differ. One that is not is.
    std::fs::remove_file(dir.join("sweep/sheet.png")).unwrap();
    run(dir, &[&flags[..], &["--steps", "3", "--score", "20", "--out", "sweep"]].concat(), 0);
    assert_eq!(std::fs::read_to_string(dir.join("sweep/table.csv")).unwrap(), table);
    drawn_again(dir, "sweep/sheet.png");
    let cell = std::fs::read_dir(dir.join("sweep/cells")).unwrap().map(|entry| entry.unwrap().file_name());
    let cell = cell.map(|name| name.into_string().unwrap()).find(|name| name.ends_with(".png")).unwrap();
    drawn_again(dir, &format!("sweep/cells/{cell}"));
    // Another model in each cell, and none elsewhere.
    let flags = ["sweep", "--rows", "run=run/checkpoints/step-000050;run", "--seeds", "0", "--steps", "2"];
    run(dir, &[&flags[..], &["--out", "models"]].concat(), 0);
    drawn_again(dir, "models/sheet.png");
    let ends = [
        "sweep",
        "--run",
        "run",
        "--rows",
        "interval-high=1,5",
        "--columns",
        "sharpness=1,3",
        "--interval",
        "0.2:9",
    ];
    run(dir, &[&ends[..], &["--steps", "3", "--out", "ends", "--seeds", "0"]].concat(), 0);
    for (rows, word) in [
        ("up=1", "no flag of sample"),
        ("steps=x", "no value that --steps takes"),
        ("history=much", "--history much: WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more"),
        ("rule=apg:7", "--rule apg:7: plain, zero-star, apg or apg:ETA[:NORM[:MOMENTUM]] with ETA 0 to 1"),
        ("rescale=2", "2: must be 0 to 1"),
        ("sharpness=-1", "--spacing sigmoid:-1: sharpness = -1 must be at least 0"),
        ("steps", "--rows steps"),
        ("steps=", "--rows steps="),
    ] {
        let text = run(dir, &["sweep", "--run", "run", "--rows", rows], 2);
        assert!(text.contains(word), "{text}");
    }
}

fn a_model_says_what_it_sees(dir: &Path) {
    let text = run(dir, &["classify", "--run", "run", "--n", "6"], 0);
    assert!(
        text.contains("of 6 held-out images") && text.contains("left: ") && text.contains("right: "),
        "{text}"
    );
    run(
        dir,
        &["sample", "--run", "run", "--class", "right", "--seeds", "3", "--guidance", "3", "--out", "seen/"],
        0,
    );
    let text = run(dir, &["classify", "--run", "run", "--image", "seen/class-right_seed-3.png"], 0);
    assert!(text.contains("class-right_seed-3.png: right"), "{text}");
}
