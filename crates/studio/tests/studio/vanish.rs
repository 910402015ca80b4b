//! Work that nobody waits for ends.

use crate::support::{own_runs, parse, serve};
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};

/// More work than any test waits for.
fn long(run: &str) -> Value {
    json!({"run": run, "seeds": "0-19", "steps": 450})
}

#[test]
fn a_closed_connection_ends_the_drawing() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    for path in ["/api/draw", "/api/file"] {
        let stream = client.begin(path, json!({"drawing": long(&run)}));
        std::thread::sleep(Duration::from_millis(300));
        drop(stream);
        let started = Instant::now();
        let answer =
            client.post("/api/draw", json!({"drawing": {"run": run, "seeds": "0", "class": "left"}}));
        assert_eq!(answer.lines().last().unwrap()["kind"], "done");
        let (waited, whole) = (started.elapsed(), whole(&client, &run));
        assert!(waited < whole / 2, "{path}: {waited:?} of {whole:?}");
    }
}

/// How long the long drawing takes to its end.
fn whole(client: &crate::support::Client, run: &str) -> Duration {
    let started = Instant::now();
    assert_eq!(client.post("/api/draw", json!({"drawing": long(run)})).status, 200);
    started.elapsed()
}

#[test]
fn a_newer_drawing_of_a_client_takes_the_place_of_the_older() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let mut older = client.begin("/api/draw", json!({"drawing": long(&run), "client": "page 1"}));
    // It has begun.
    let mut seen = vec![0; 40];
    older.read_exact(&mut seen).unwrap();
    let other = client.begin("/api/draw", json!({"drawing": {"run": run, "seeds": "0"}, "client": "page 2"}));
    let newer = client.post("/api/draw", json!({"drawing": {"run": run, "seeds": "0"}, "client": "page 1"}));
    assert_eq!(newer.lines().last().unwrap()["kind"], "done");
    older.read_to_end(&mut seen).unwrap();
    let last = parse(&seen).lines().pop().unwrap();
    assert_eq!(
        (&last["kind"], last["error"].as_str().unwrap().contains("cancelled")),
        (&json!("failed"), true)
    );
    let mut all = Vec::new();
    { other }.read_to_end(&mut all).unwrap();
    assert_eq!(parse(&all).lines().last().unwrap()["kind"], "done");
}

#[test]
fn the_server_keeps_nothing_of_what_it_draws() {
    let (dir, runs, run) = own_runs();
    let client = serve(&runs);
    let names = |folder: &std::path::Path| {
        let mut all = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                all.push(path);
            }
        }
        all.sort();
        all
    };
    let before = names(dir.path());
    for path in ["/api/draw", "/api/file", "/api/steps"] {
        assert_eq!(client.post(path, json!({"drawing": {"run": run}})).status, 200);
    }
    assert_eq!(names(dir.path()), before);
}
