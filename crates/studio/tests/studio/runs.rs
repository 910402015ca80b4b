//! Watching trainings, and runs that are deleted, damaged or still being written.

use crate::support::{begin, copy, encoded, own_runs, serve, serve_with, server, trained};
use duet_studio::Settings;
use serde_json::json;
use std::io::Write;
use std::path::Path;

#[test]
fn a_run_tells_its_curves_and_its_previews() {
    let runs = server().get("/api/runs").good();
    let run = &runs["runs"][0];
    assert_eq!(
        (&run["name"], &run["step"], &run["steps"], &run["training"]),
        (&json!(trained()), &json!(60), &json!(60), &json!(false))
    );
    assert!(run["loss"].as_f64().unwrap() > 0.0);
    let name = encoded(&trained());
    let run = server().get(&format!("/api/run?name={name}&after=57")).good();
    let curves = run["curves"].as_str().unwrap();
    assert!(curves.contains("<h3>Loss</h3>") && curves.contains(">held-out: "), "{curves}");
    // They are those of all steps.
    assert_eq!(server().get(&format!("/api/run?name={name}")).good()["curves"], curves);
    assert_eq!((&run["last"], &run["previews"]), (&json!(60), &json!([60])));
    // Who has steps that are no more there sees it.
    for after in [60, 99] {
        let known = server().get(&format!("/api/run?name={name}&after={after}")).good();
        assert_eq!((&known["curves"], &known["last"]), (&json!(null), &json!(60)));
    }
    let preview = server().get(&format!("/api/preview?name={name}&step=60"));
    assert!(preview.status == 200 && preview.body.starts_with(b"\x89PNG"));
    assert_eq!(preview.header("content-type"), Some("image/png"));
    server().get(&format!("/api/preview?name={name}&step=59")).refused(404);
}

#[test]
fn a_training_is_seen_and_asked_to_stop() {
    let (dir, runs, finished) = own_runs();
    let path = runs.join("00002-new");
    let client = serve(&runs);
    let name = path.display().to_string();
    let mut session = begin(dir.path(), &path);
    session.step().unwrap();
    let listed = client.get("/api/runs").good();
    assert_eq!(listed["runs"][0]["name"], name);
    assert_eq!(listed["runs"][0]["training"], true);
    assert_eq!(listed["runs"][1]["training"], false);
    // It has no checkpoint, so it is no model yet.
    assert_eq!(client.get("/api/models").good()["chosen"], finished);
    assert!(!session.take_stop());
    assert_eq!(client.post("/api/stop", json!({"name": name})).good(), json!({}));
    assert!(session.take_stop() && !session.take_stop());
    session.save().unwrap();
    drop(session);
    assert_eq!(client.get("/api/models").good()["chosen"], name);
    let refused = client.post("/api/stop", json!({"name": name})).refused(400);
    assert!(refused.contains("no process trains this run now"), "{refused}");
}

#[test]
fn a_newer_checkpoint_is_noticed() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let step = || client.get(&format!("/api/model?name={}", encoded(&run))).good()["step"].clone();
    let (newest, aside) = (Path::new(&run).join("checkpoints/step-000060"), runs.join("aside"));
    std::fs::rename(&newest, &aside).unwrap();
    assert_eq!(step(), 50);
    std::fs::rename(&aside, &newest).unwrap();
    assert_eq!(step(), 60);
}

#[test]
fn commands_name_the_program_and_quote_the_run() {
    let (_dir, runs, run) = own_runs();
    let spaced = runs.join("it's mine");
    std::fs::rename(&run, &spaced).unwrap();
    let client = serve_with(Settings { runs, program: "cargo xtask".into(), ..Settings::default() });
    assert_eq!(client.get("/api/models").good()["program"], "cargo xtask");
    let name = spaced.display().to_string();
    let told = client.get(&format!("/api/run?name={}", encoded(&name))).good();
    let quoted = name.replace('\'', r"'\''");
    assert_eq!(told["resume"], format!("cargo xtask train --resume '{quoted}'"));
    let drawing = json!({"drawing": {"run": name, "seeds": "0-999"}});
    assert!(client.post("/api/draw", drawing).refused(413).contains("`cargo xtask sample` draws more"));
}

#[test]
fn the_newest_run_with_a_whole_model_is_chosen() {
    let (_dir, runs, whole) = own_runs();
    let damaged = runs.join("00002-damaged");
    copy(Path::new(&whole), &damaged);
    let client = serve(&runs);
    let chosen = || client.get("/api/models").good()["chosen"].clone();
    assert_eq!(chosen(), damaged.display().to_string());
    for step in ["step-000060", "step-000050", "step-000025"] {
        std::fs::write(damaged.join("checkpoints").join(step).join("manifest.json"), "{").unwrap();
    }
    assert_eq!(chosen(), whole);
    assert_eq!(client.post("/api/draw", json!({"drawing": {"run": "latest"}, "draft": 1})).status, 200);
}

#[test]
fn a_run_that_is_damaged_deleted_or_half_written_is_a_message() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let (path, name) = (Path::new(&run), encoded(&run));
    let draw = || client.post("/api/draw", json!({"drawing": {"run": run}, "draft": 1}));
    assert_eq!(draw().status, 200);
    // A line that is still being written.
    let mut metrics = std::fs::OpenOptions::new().append(true).open(path.join("metrics.jsonl")).unwrap();
    metrics.write_all(b"{\"step\": 61, \"lo").unwrap();
    assert_eq!(client.get(&format!("/api/run?name={name}&after=59")).good()["last"], 60);
    std::fs::write(path.join("metrics.jsonl"), b"\xff\xfe\n{}\n[1,2]\n").unwrap();
    assert_eq!(client.get(&format!("/api/run?name={name}")).good()["last"], 0);
    assert!(client.get("/api/runs").good()["runs"][0]["loss"].is_null());
    std::fs::write(path.join("config.toml"), "no [ toml").unwrap();
    assert!(client.get("/api/runs").good()["runs"][0]["steps"].is_null());
    // Damaged weights: the one before draws; with no whole one there is a message.
    for step in ["step-000060", "step-000050", "step-000025"] {
        let weights = path.join("checkpoints").join(step).join("unet/diffusion_pytorch_model.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&weights, bytes).unwrap();
    }
    let refused = draw().refused(404);
    assert!(refused.contains("model") || refused.contains("checkpoint"), "{refused}");
    std::fs::remove_dir_all(path).unwrap();
    let refused = draw().refused(404);
    assert!(refused.contains("there is no such run or model here now"), "{refused}");
    client.get(&format!("/api/run?name={name}")).refused(404);
    assert_eq!(client.get("/api/models").good(), json!({"models": [], "chosen": null, "program": "duet"}));
    assert_eq!(client.get("/api/runs").good(), json!({"runs": []}));
    let refused = client.post("/api/draw", json!({"drawing": {}})).refused(404);
    assert!(refused.contains("there is no run with a whole checkpoint yet"), "{refused}");
}

#[test]
fn paths_never_leave_the_runs() {
    let (dir, runs, run) = own_runs();
    let client = serve(&runs);
    std::fs::create_dir_all(dir.path().join("secret/samples")).unwrap();
    std::fs::write(dir.path().join("secret/config.toml"), "").unwrap();
    std::fs::write(dir.path().join("secret/samples/step-000001.png"), "secret").unwrap();
    let secret = dir.path().join("secret").display().to_string();
    for name in [
        secret.clone(),
        format!("{run}/../../secret"),
        format!("{run}/../.."),
        "../secret".into(),
        "/etc".into(),
    ] {
        let asked = encoded(&name);
        client.get(&format!("/api/run?name={asked}")).refused(404);
        client.get(&format!("/api/preview?name={asked}&step=1")).refused(404);
        client.get(&format!("/api/model?name={asked}")).refused(404);
        client.post("/api/stop", json!({"name": name})).refused(404);
        client.post("/api/draw", json!({"drawing": {"run": name}})).refused(404);
        client.post("/api/draw", json!({"drawing": {"run": run, "guide-with": name}})).refused(404);
        client.post("/api/classify", json!({"run": name, "picture": ""})).refused(422);
    }
    for file in ["noise", "image", "mask"] {
        client.post("/api/draw", json!({"drawing": {"run": run, file: "/etc/passwd"}})).refused(400);
    }
    #[cfg(unix)]
    {
        let link = Path::new(&run).join("samples/step-000001.png");
        std::os::unix::fs::symlink(dir.path().join("secret/samples/step-000001.png"), link).unwrap();
        client.get(&format!("/api/preview?name={}&step=1", encoded(&run))).refused(404);
        assert_eq!(client.get(&format!("/api/run?name={}", encoded(&run))).good()["previews"], json!([60]));
    }
}
