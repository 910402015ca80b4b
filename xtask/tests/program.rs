//! The verbs of the runner, and `cargo xtask bench` without a peer, as short as it gets.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program, which must end with `code`; what it printed.
#[track_caller]
fn run(dir: &Path, arguments: &[&str], code: i32) -> String {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let Output { status, stdout, stderr } = xtask.args(arguments).current_dir(dir).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{arguments:?}:\n{text}");
    text
}

#[test]
fn every_verb_of_the_program_is_one_of_the_runner_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["sample", "--help"], 0).contains("Usage: cargo xtask sample"));
    let text = run(dir.path(), &[], 0);
    for verb in ["train", "sample", "fetch", "bench", "ci", "docs", "layering"] {
        assert!(text.contains(verb), "{text}");
    }
    let text = run(dir.path(), &["sample"], 5);
    assert!(text.contains("`cargo xtask train`"), "{text}");
}

#[test]
fn a_benchmark_prints_its_table_and_writes_its_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--only", "conv,forward", "--network", "small", "--repeats", "2", "--json", "bench.json"];
    run(dir.path(), &[&["bench"], &flags[..]].concat(), 0);
    let text = std::fs::read_to_string(dir.path().join("bench.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["multiply_add_peak_gflops"].as_f64().unwrap() > 0.0);
    let rows = json["rows"].as_array().unwrap();
    // Four convolutions, each forward and both ways, and one prediction.
    assert_eq!(rows.len(), 9);
    for row in rows {
        assert_eq!((&row["contestant"], row["repeats"].as_array().unwrap().len()), (&"duet".into(), 2));
        assert!(row["rate"].as_f64().unwrap() > 0.0 && row["gflops"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn a_peer_that_cannot_be_started_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--only", "conv", "--repeats", "1", "--torch", "no-such-python"];
    let output = run(dir.path(), &[&["bench"], &flags[..]].concat(), 6);
    assert!(output.contains("no-such-python"), "{output}");
}

#[test]
fn help_shows_lists_as_they_are_typed() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["bench", "--help"], 0);
    for list in ["[default: conv,train,forward,sample]", "[default: preset,small,large,colour-32,colour-64]"]
    {
        assert!(help.contains(list), "{help}");
    }
}
