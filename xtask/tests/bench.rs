//! `cargo xtask bench` without a peer, as short as it gets.
#[allow(dead_code)]
mod support;

use support::run;

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
    for list in ["[default: conv,train,forward,sample]", "[default: small,large]"] {
        assert!(help.contains(list), "{help}");
    }
}
