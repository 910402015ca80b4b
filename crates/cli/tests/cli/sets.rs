//! `sample --count` as a process: killed and signalled at any moment, and flags that do not go together.
use crate::support::{duet, files, run, train};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SET: [&str; 9] = ["sample", "--run", "run", "--count", "300", "--steps", "12", "--batch", "4"];

#[test]
fn a_set_killed_at_any_moment_goes_on_and_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    flags_that_do_not_go_together_are_refused(dir);
    let started = Instant::now();
    run(dir, &[&SET[..], &["--out", "whole/set/"]].concat(), 0);
    run(dir, &[&SET[..], &["--out", "whole/set.npz"]].concat(), 0);
    let time = started.elapsed() / 2;
    let mut kills = 0;
    for out in ["parts/set/", "parts/set.npz"] {
        for part in 0.. {
            assert!(part < 1000, "it never ends");
            let child = duet(dir, &[&SET[..], &["--out", out]].concat())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // A process takes a while to start: each part is a little longer than the one before.
            std::thread::sleep(time.mul_f64(0.1 + 0.02 * f64::from(part)) + Duration::from_millis(5));
            let id = child.id().to_string();
            let (signal, code) =
                [("-KILL", None), ("-INT", Some(130)), ("-TERM", Some(143))][part as usize % 3];
            let _ = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
            let ended = child.wait_with_output().unwrap();
            match ended.status.code() {
                Some(0) => break,
                found => {
                    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                    // A signal may come before the program listens.
                    assert!(found == code || found.is_none(), "{found:?} after {signal}:\n{said}");
                    assert!(found.is_none() || said.contains("the same command goes on with"), "{said}");
                    kills += 1;
                }
            }
        }
    }
    assert!(kills > 2, "{kills}");
    assert_eq!(files(&dir.join("parts")), files(&dir.join("whole")));
    let text = run(dir, &[&SET[..], &["--out", "parts/set/"]].concat(), 0);
    assert!(text.contains("300 of them were there already"), "{text}");
    let text = run(dir, &["data", "parts/set"], 0);
    assert!(text.contains("left") && text.contains("right") && !text.contains("left out"), "{text}");
}

fn flags_that_do_not_go_together_are_refused(dir: &Path) {
    let cases: [(&[&str], i32, &[&str]); 15] = [
        (&["--count", "0", "--out", "s/"], 2, &["--count 0"]),
        (&["--count", "1", "--out", "s/"], 2, &["--count 1", "2 (one of each class)"]),
        (&["--count", "x", "--out", "s/"], 2, &["--count"]),
        (&["--count", "4"], 2, &["--out samples.png", "set/"]),
        (&["--count", "4", "--out", "s.npz", "--format", "idx"], 2, &["--format idx"]),
        (&["--count", "4", "--out", "s/", "--format", "csv"], 2, &["folder, npz or idx"]),
        (&["--count", "4", "--out", "s/", "--seeds", "3"], 2, &["--seeds 3", "1 seeds"]),
        (&["--count", "4", "--out", "s/", "--guidance", "1,2"], 2, &["--guidance", "one weight"]),
        (&["--count", "4", "--out", "s/", "--animate", "x.gif"], 2, &["--animate"]),
        (&["--count", "4", "--out", "s/", "--save-noise", "x.safetensors"], 2, &["--save-noise"]),
        (&["--count", "4", "--out", "s/", "--image", "x.png"], 2, &["--image"]),
        (&["--only-right", "--out", "s/"], 2, &["--count"]),
        (&["--count", "4", "--out", "run/"], 2, &["run: there is something already"]),
        (&["--count", "4", "--out", "data/left/00.png/"], 2, &["00.png", "something already"]),
        (&["--count", "4", "--out", "tiny.toml/set"], 6, &["tiny.toml"]),
    ];
    for (flags, code, words) in cases {
        let text = run(dir, &[&["sample", "--run", "run"], flags].concat(), code);
        for word in words {
            assert!(text.contains(word), "{flags:?}: {word} not in:\n{text}");
        }
        assert!(!text.contains("panicked") && !dir.join("s").exists(), "{text}");
    }
}
