//! The page's server as a process: the same bytes as `sample`, clients that vanish, and its end.

use crate::support::{duet, run, train};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Studio {
    child: Child,
    port: u16,
    _out: BufReader<ChildStdout>,
}

impl Studio {
    fn start(dir: &Path) -> Self {
        let mut command = duet(dir, &["studio", "--threads", "2"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let port = line.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port, _out: out }
    }

    fn begin(&self, path: &str, body: &Value) -> TcpStream {
        let (port, body) = (self.port, body.to_string());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The body of an answer whose length is told.
    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        let mut all = Vec::new();
        self.begin(path, body).read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let body = all.split_off(end + 4);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", String::from_utf8_lossy(&body));
        body
    }

    /// A number of the process's status.
    #[cfg(target_os = "linux")]
    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    fn signalled(mut self) -> Option<i32> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_draws_the_bytes_that_its_command_draws() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "runs/00001-tiny");
    let half = (0..64).map(|p| if p % 8 < 4 { 255 } else { 0 }).collect();
    let picture = duet_data::Picture::new(1, 8, 8, half).unwrap().encode_png();
    // Where the page's command looks for what the page was given.
    std::fs::write(dir.join("picture.png"), &picture).unwrap();
    let studio = Studio::start(dir);
    let drawings = [
        json!({}),
        json!({"run": "runs/00001-tiny", "class": "right", "seeds": "3,9-10", "guidance": [-0.5, 3.0], "steps": 5, "scale": 3}),
        json!({"class": "left:0.25+right:0.75", "sampler": "unipc", "interval": "0.3:5", "history": "0.5", "no-captions": true}),
        json!({"guidance": [0.6], "cfg-plus-plus": true, "spacing": "sigmoid:3", "seeds": "1"}),
        json!({"guide-with": "step-000050", "guide-null": true, "rescale": 0.7, "rule": "apg:0.5", "seeds": "2"}),
        json!({"interpolate": "classes:4", "seeds": "5", "class": "left,right", "preset": "original", "steps": 6}),
    ];
    let mut asked: Vec<Value> = drawings.into_iter().map(|drawing| json!({"drawing": drawing})).collect();
    asked.push(json!({"drawing": {"strength": 0.4, "steps": 10, "seeds": "1"}, "image": base64(&picture)}));
    for body in asked {
        for (form, file) in [("png", "duet.png"), ("apng", "duet-way.png"), ("tensors", "duet.safetensors")] {
            let mut body = body.clone();
            body["form"] = form.into();
            let drawn = studio.post("/api/file", &body);
            let said: Value = serde_json::from_slice(&studio.post("/api/command", &body)).unwrap();
            let command = said["command"].as_str().unwrap();
            let words = command.strip_prefix("duet ").unwrap();
            assert!(words.starts_with("sample --run runs/00001-tiny/checkpoints/step-000060 "), "{command}");
            let shell = format!("'{}' {words}", env!("CARGO_BIN_EXE_duet"));
            let ended = Command::new("sh").args(["-c", &shell]).current_dir(dir).output().unwrap();
            assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
            assert!(std::fs::read(dir.join(file)).unwrap() == drawn, "{command}: other bytes");
        }
    }
    assert_eq!(studio.signalled(), Some(130));
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63] as char;
            text.push(if i <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[test]
fn what_was_shown_before_the_server_was_killed_is_whole_and_drawn_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "runs/00001-tiny");
    let mut studio = Studio::start(dir);
    let drawing = json!({"drawing": {"seeds": "0-99", "steps": 60}});
    let mut answer = BufReader::new(studio.begin("/api/draw", &drawing));
    let (mut shown, mut line) = (Vec::new(), String::new());
    while shown.len() < 20 {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0);
        shown.extend(image(&line));
    }
    studio.child.kill().unwrap();
    let mut rest = String::new();
    // What had been sent may still come, and no more.
    let _ = answer.read_to_string(&mut rest);
    shown.extend(rest.lines().filter_map(image));
    assert!(shown.len() < 200);
    let again = Studio::start(dir);
    let all = String::from_utf8(again.post("/api/draw", &drawing)).unwrap();
    let all: Vec<String> = all.lines().filter_map(image).collect();
    assert_eq!(shown, all[..shown.len()]);
}

/// The text of the image of a line, if it is one.
fn image(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line.get("png")?.as_str()?.to_string())
}

#[test]
#[cfg(target_os = "linux")]
fn clients_that_vanish_leave_memory_and_threads_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "runs/00001-tiny");
    let studio = Studio::start(dir.path());
    let draw = json!({"drawing": {"seeds": "0-9", "steps": 100}});
    let vanish = |count: usize| {
        for i in 0..count {
            match i % 4 {
                // Connects and goes, asks and goes, stops in the middle of its words, reads a little and goes.
                0 => drop(TcpStream::connect(("127.0.0.1", studio.port)).unwrap()),
                1 => drop(studio.begin("/api/draw", &draw)),
                2 => {
                    let mut stream = TcpStream::connect(("127.0.0.1", studio.port)).unwrap();
                    stream.write_all(b"POST /api/draw HTTP/1.1\r\nHost: 127.0").unwrap();
                }
                _ => {
                    let mut stream = studio.begin("/api/draw", &draw);
                    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    let _ = stream.read(&mut [0; 64]);
                }
            }
        }
        // It answers again, and what nobody waits for is over.
        let started = Instant::now();
        let one = json!({"drawing": {"seeds": "0", "class": "left"}});
        studio.post("/api/file", &one);
        std::thread::sleep(Duration::from_secs(3));
        started.elapsed()
    };
    vanish(200);
    let (threads, memory) = (studio.status("Threads"), studio.status("VmRSS"));
    let waited = vanish(200);
    let (after, memory_after) = (studio.status("Threads"), studio.status("VmRSS"));
    assert_eq!(after, threads);
    assert!(memory_after < memory + 16 * 1024, "{memory} kB, then {memory_after} kB");
    assert!(waited < Duration::from_secs(30), "{waited:?}");
}

#[test]
fn what_the_program_cannot_serve_is_said_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let text = run(dir.path(), &["studio", "--listen", "0.0.0.0"], 2);
    assert!(text.contains("--listen 0.0.0.0: everybody who reaches this machine"), "{text}");
    let text = run(dir.path(), &["studio", "--token", "short"], 2);
    assert!(text.contains("--token: at least 16 characters"), "{text}");
    let text = run(dir.path(), &["studio", "--run", "none"], 2);
    assert!(text.contains("--run") && text.contains("none: there is no such folder"), "{text}");
    let mut command = duet(dir.path(), &["studio"]);
    let ended = command.env("DUET_TOKEN", "short").stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(2) && text.contains("DUET_TOKEN: at least 16 characters"), "{text}");
    let text = run(dir.path(), &["studio", "--runs", "none"], 2);
    assert!(text.contains("--runs none: there is no such folder"), "{text}");
    // Without a model there is a page that says how to get one.
    let studio = Studio::start(dir.path());
    assert_eq!(studio.signalled(), Some(130));
}

#[test]
fn a_page_is_one_file_that_names_nothing_of_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "runs/00001-tiny");
    std::fs::write(dir.join("engine.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let folder = dir.join("runs/00001-tiny");
    let (folder, engine) = (folder.to_str().unwrap(), ["--engine", "engine.wasm"]);
    let text = run(dir, &[&["page", "--run", folder, "--out", "page.html"][..], &engine].concat(), 0);
    assert!(
        text.contains("page.html: 0.") && text.contains("The weights of the model are rounded to"),
        "{text}"
    );
    let page = std::fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(
        page.contains(r#""folder":"runs/00001-tiny""#) && page.contains("left"),
        "the model is in the page"
    );
    for outside in [dir.to_str().unwrap(), "src=\"", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    for (arguments, words) in [
        (&["page", "--out", "page.png"][..], "use x.html"),
        (&["page", "--out", "x.html", "--engine", "none.wasm"], "--engine none.wasm"),
        (&["page", "--out", "x.html", "--engine", "runs/00001-tiny/config.toml"], "no WebAssembly module"),
        (&["page", "--out", "x.html", "--run", "none"], "none"),
    ] {
        let output = duet(dir, arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{arguments:?}: {text}");
        assert!(!dir.join("x.html").exists());
    }
}
