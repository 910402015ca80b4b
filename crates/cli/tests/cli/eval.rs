//! Measuring by the command line: what is printed, and what is refused.
use crate::support::{drawn_again, run, train};
use std::path::Path;

#[test]
fn models_and_samples_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    an_evaluation_is_printed_and_its_classifier_kept(dir);
    what_is_no_sample_is_refused_with_its_code(dir);
    a_sweep_prints_its_table_and_refuses_what_is_no_axis(dir);
    a_model_says_what_it_sees(dir);
    a_training_prints_its_measurements(dir);
}

fn an_evaluation_is_printed_and_its_classifier_kept(dir: &Path) {
    let flags = ["eval", "--run", "run", "--n", "40", "--classify", "4"];
    let text = run(dir, &flags, 0);
    assert!(text.contains("training a classifier") && text.contains("class accuracy"), "{text}");
    assert!(text.contains("run/eval.json, run/eval.png, run/eval-nearest.png"), "{text}");
    let found = std::fs::read(dir.join("run/eval.json")).unwrap();
    drawn_again(dir, "run/eval.png");
    // The classifier was kept, so the same command gives the same numbers without training one.
    let again = run(dir, &flags, 0);
    assert!(!again.contains("training a classifier"), "{again}");
    assert!(std::fs::read(dir.join("run/eval.json")).unwrap() == found);
}

fn what_is_no_sample_is_refused_with_its_code(dir: &Path) {
    let drawn = ["sample", "--run", "run", "--seeds", "0-19", "--steps", "4", "--out", "x.safetensors"];
    run(dir, &drawn, 0);
    run(dir, &["eval", "--run", "run", "--samples", "x.safetensors", "--out", "elsewhere"], 0);
    let tensors = duet_model::read_tensors(&dir.join("x.safetensors"), &candle_core::Device::Cpu).unwrap();
    let bytes = ((&tensors["images"] + 1.0).unwrap() * 127.5).unwrap();
    let bytes = std::collections::HashMap::from([("images", bytes), ("labels", tensors["labels"].clone())]);
    candle_core::safetensors::save(&bytes, dir.join("bytes.safetensors")).unwrap();
    let said = |name: &str| run(dir, &["eval", "--run", "run", "--samples", name, "--out", "elsewhere"], 4);
    let text = said("bytes.safetensors");
    assert!(text.contains("bytes.safetensors: values from") && text.contains("v / 127.5 - 1"), "{text}");
    assert!(said("tiny.toml").contains("tiny.toml"));
    let text = run(dir, &["eval", "--run", "run", "--data", "digits", "--n", "4"], 2);
    assert!(text.contains("10 classes") && text.contains("knows 2"), "{text}");
    let text = run(dir, &["eval", "--run", "run", "--guidance", "1,2"], 2);
    assert!(text.contains("several weights of --guidance") && !text.contains("denoised"), "{text}");
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
    std::fs::create_dir_all(dir.join("one/train")).unwrap();
    std::fs::create_dir_all(dir.join("one/test/a")).unwrap();
    std::fs::rename(dir.join("data/right"), dir.join("one/train/a")).unwrap();
    for i in 0..8 {
        let name = format!("{i:02}.png");
        std::fs::rename(dir.join("data/left").join(&name), dir.join("one/test/a").join(&name)).unwrap();
    }
    let flags = ["train", "--config", "tiny.toml", "--data", "one", "--out", "run"];
    let text = run(dir, &[&flags[..], &["--eval-every", "5"]].concat(), 2);
    assert!(text.contains("--eval-every 5") && text.contains("images of 1"), "{text}");
    run(dir, &flags, 0);
    let text = run(dir, &["eval", "--run", "run", "--n", "8", "--classify", "0", "--steps", "2"], 0);
    assert!(text.contains("not measured") && !text.contains("NaN") && text.contains("copied"), "{text}");
    for flags in [
        &["sweep", "--run", "run", "--rows", "steps=1", "--score", "20"][..],
        &["ema", "--run", "run", "--sweep"],
    ] {
        assert!(run(dir, flags, 2).contains("images of 1"), "{flags:?}");
    }
}

fn a_training_prints_its_measurements(dir: &Path) {
    let flags = ["train", "--config", "tiny.toml", "--data", "data", "--eval-every", "60", "--out", "scored"];
    let text = run(dir, &flags, 0);
    assert!(text.contains("step 60: 100.0 % right, Fréchet distance"), "{text}");
}

fn a_sweep_prints_its_table_and_refuses_what_is_no_axis(dir: &Path) {
    let flags = ["sweep", "--run", "run", "--rows", "guidance=1,2.5", "--seeds", "0-1", "--steps", "3"];
    let text = run(dir, &[&flags[..], &["--out", "sweep"]].concat(), 0);
    assert!(text.contains("\n2.5,0-1,") && text.contains("2 cells: sweep/sheet.png"), "{text}");
    drawn_again(dir, "sweep/sheet.png");
    for (rows, word) in [
        ("up=1", "no flag of sample"),
        ("steps=x", "no value that --steps takes"),
        ("history=much", "--rows: --history much: WEIGHT or WEIGHT:LOW:HIGH"),
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
    let text = run(dir, &["classify", "--run", "run", "--image", "data/right/03.png"], 0);
    assert!(text.contains("data/right/03.png: right"), "{text}");
}
