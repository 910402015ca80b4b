//! The program, and a tiny data set and configuration for it.

#[path = "../../../../diffusion/tests/diffusion/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tiny::CONFIG;
pub use tiny::images;

/// Writes the tiny configuration.
pub fn config(dir: &Path) -> PathBuf {
    let path = dir.join("tiny.toml");
    std::fs::write(&path, CONFIG).unwrap();
    path
}

/// The program with these arguments, in this folder.
pub fn duet(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet"));
    command.args(arguments).current_dir(dir);
    command
}

/// Runs the program, which must end with `code`; what it printed.
#[track_caller]
pub fn run(dir: &Path, arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = duet(dir, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{arguments:?}:\n{text}");
    text
}

/// Trains the tiny model in `dir`/`out`.
#[track_caller]
pub fn train(dir: &Path, out: &str) {
    let (data, config) = (images(dir), config(dir));
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    run(dir, &["train", "--config", config, "--data", data, "--out", out], 0);
}

/// What the clock says is in these files of a run.
const TIMED: [&str; 4] = ["log.txt", "events.jsonl", "events.out.tfevents.0.duet", "LOCK"];

/// Every file under `dir` by its path, but for the run's log, events and lock.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !TIMED.iter().any(|name| path.ends_with(name)) {
                found.insert(path.strip_prefix(dir).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Has the program draw a PNG again, which must give the same bytes.
#[track_caller]
pub fn drawn_again(dir: &Path, picture: &str) {
    let text = run(dir, &["reproduce", picture, "--out", "again.png", "--threads", "1"], 0);
    assert!(text.contains("byte for byte"), "{text}");
    assert_eq!(std::fs::read(dir.join("again.png")).unwrap(), std::fs::read(dir.join(picture)).unwrap());
}

/// The long test, `DUET_LONG=1`, takes many more samples of what cannot be tried exhaustively.
pub fn count(everyday: usize, long: usize) -> usize {
    if std::env::var_os("DUET_LONG").is_some() { long } else { everyday }
}
