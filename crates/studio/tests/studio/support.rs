//! A server of this process with a run that is trained once, and a client that speaks plain HTTP.

use crate::tiny::{CONFIG, images};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use duet_diffusion::{Device, RunConfig, Session};
use duet_studio::{Server, Settings};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

/// A folder with `runs/00001-tiny`. It is removed with cargo's own folder.
static TRAINED: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let mut session = begin(&dir, &dir.join("runs/00001-tiny"));
    while !session.is_done() {
        session.step().unwrap();
    }
    session.finish().unwrap();
    dir
});

/// A server that no test may change the runs of.
static SERVER: LazyLock<Client> = LazyLock::new(|| serve(&TRAINED.join("runs")));

/// A training of the tiny model.
pub fn begin(dir: &Path, run: &Path) -> Session {
    let (file, data) = (dir.join("tiny.toml"), images(dir));
    std::fs::write(&file, CONFIG).unwrap();
    let source = ("data.source", data.display().to_string().into());
    let config = RunConfig::resolve("digits", Some(&file), vec![source]).unwrap();
    let data = config.load_data().unwrap();
    Session::start(config, data, run, Device::Cpu).unwrap()
}

/// The name of the run that is trained.
pub fn trained() -> String {
    TRAINED.join("runs/00001-tiny").display().to_string()
}

/// The runs of a folder of its own, with a copy of the run that is trained.
pub fn own_runs() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let run = runs.join("00001-tiny");
    copy(Path::new(&trained()), &run);
    (dir, runs, run.display().to_string())
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The server of the run that is trained.
pub fn server() -> &'static Client {
    &SERVER
}

/// A server of these runs, which ends with the process.
pub fn serve(runs: &Path) -> Client {
    serve_with(Settings { runs: runs.into(), ..Settings::default() })
}

pub fn serve_with(settings: Settings) -> Client {
    let server = Server::bind(settings).unwrap();
    let address = server.address();
    let port = address.trim_start_matches("http://").split(['/', ':']).nth(1).unwrap().parse().unwrap();
    std::thread::spawn(move || server.serve(|| false).unwrap());
    Client { port }
}

/// Asks a server.
pub struct Client {
    pub port: u16,
}

/// What a server answers.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// Its lines of JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.body.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The JSON of a success.
    #[track_caller]
    pub fn good(self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The words of a refusal with this status.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        let said = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!(self.status, status, "{said}");
        self.json()["error"].as_str().unwrap_or_else(|| panic!("{said}")).to_string()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

impl Client {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// The bytes of a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: 127.0.0.1:{}\r\n", self.port);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "Connection: close\r\n";
        if method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.raw(&self.request(method, path, headers, body))
    }

    /// Sends bytes and reads the answer to its end.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        parse(&all)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Begins a request and leaves the answer to the caller.
    pub fn begin(&self, path: &str, body: Value) -> TcpStream {
        let body = body.to_string();
        let mut stream = self.connect();
        let json = [("Content-Type", "application/json")];
        stream.write_all(&self.request("POST", path, &json, body.as_bytes())).unwrap();
        stream
    }
}

/// An answer; status 0 for none.
pub fn parse(all: &[u8]) -> Answer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let rest = all.get(end + 4..).unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Answer { status, body: if chunked { unchunked(rest) } else { rest.into() }, head }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    body
}

pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[track_caller]
pub fn bytes_of(text: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// A path as a value in an address.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
