//! Thousands of requests that are wrong in every way get an answer of 4xx, and the server goes on.

use crate::support::{Client, base64, own_runs, serve};
use duet_data::Picture;
use serde_json::{Value, json};

/// A sequence that looks random and is the same each time (Marsaglia's xorshift).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Bytes with some of them changed, left out or doubled.
    fn broken(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len().max(1));
            match self.below(4) {
                0 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at.min(bytes.len()), self.next() as u8),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

const PATHS: [&str; 7] =
    ["/api/draw", "/api/steps", "/api/classify", "/api/file", "/api/command", "/api/note", "/api/stop"];

#[test]
fn ten_thousand_malformed_requests_get_4xx_and_no_panic() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let mut draws = Draws(0x5eed);
    let mut seen = std::collections::BTreeMap::new();
    for i in 0..10_000 {
        let (what, answer) = match i % 5 {
            0 => of_json(&client, &run, &mut draws),
            1 => of_pictures(&client, &run, &mut draws),
            2 => of_options(&client, &run, &mut draws),
            3 => of_queries(&client, &run, &mut draws),
            _ => of_bytes(&client, &run, &mut draws),
        };
        assert!((400..500).contains(&answer), "request {i}: {answer} to {what}");
        *seen.entry(answer).or_insert(0) += 1;
    }
    assert!(seen[&400] > 1000 && seen[&404] > 100, "{seen:?}");
    let well = client.post("/api/draw", json!({"drawing": {"run": run}, "draft": 1}));
    assert_eq!(well.lines().last().unwrap()["kind"], "done");
}

type Asked = (String, u16);

fn post(client: &Client, path: &str, body: &[u8]) -> Asked {
    let answer = client.ask("POST", path, &[("Content-Type", "application/json")], body);
    (format!("{path} {}", String::from_utf8_lossy(body)), answer.status)
}

/// JSON that is none, or not what is asked for.
fn of_json(client: &Client, run: &str, draws: &mut Draws) -> Asked {
    let path = *draws.one(&PATHS);
    let whole = json!({"drawing": {"run": run, "class": 3}, "name": 1, "picture": 2}).to_string();
    let body = match draws.below(3) {
        0 => draws.broken(whole.as_bytes()),
        1 => "[".repeat(draws.below(100_000)).into_bytes(),
        _ => draws
            .one(&["null", "{}", "[]", "1e999", "\"\\ud800\"", "{\"drawing\": []}", "", "\u{0}"])
            .as_bytes()
            .to_vec(),
    };
    post(client, path, &body)
}

/// Pictures that are none.
fn of_pictures(client: &Client, run: &str, draws: &mut Draws) -> Asked {
    let png = Picture::new(1, 8, 8, vec![9; 64]).unwrap().encode_png_with(&[("duet", "{}".into())]);
    let mut broken = draws.broken(&png);
    broken.truncate(png.len() - 20);
    let picture = match draws.below(4) {
        0 => String::from_utf8_lossy(&broken).into_owned(),
        _ => base64(&broken),
    };
    let (path, body) = match draws.below(4) {
        0 => ("/api/note", json!({"picture": picture})),
        1 => ("/api/classify", json!({"run": run, "picture": picture})),
        2 => ("/api/draw", json!({"drawing": {"run": run}, "image": picture})),
        _ => ("/api/file", json!({"drawing": {"run": run}, "mask": picture, "image": picture})),
    };
    post(client, path, body.to_string().as_bytes())
}

/// Values that no option takes.
fn of_options(client: &Client, run: &str, draws: &mut Draws) -> Asked {
    let wrong: [Value; 8] = [
        json!("\u{202e}x"),
        json!({"a": 1}),
        json!([[]]),
        json!("9".repeat(400)),
        json!("-"),
        json!("../../etc/passwd"),
        json!("1e400:nan"),
        json!("<script>"),
    ];
    let keys = [
        "class",
        "seeds",
        "guidance",
        "guidance-schedule",
        "interval",
        "rescale",
        "rule",
        "history",
        "steps",
        "sampler",
        "spacing",
        "eta",
        "clip",
        "noise",
        "image",
        "strength",
        "mask",
        "invert",
        "interpolate",
        "scale",
        "negative",
        "preset",
        "guide-with",
        "nonsense",
        "__proto__",
    ];
    let mut drawing = json!({"run": run});
    drawing[*draws.one(&keys)] = draws.one(&wrong).clone();
    let path = *draws.one(&["/api/draw", "/api/steps", "/api/file"]);
    post(client, path, json!({"drawing": drawing}).to_string().as_bytes())
}

/// Addresses that lead nowhere.
fn of_queries(client: &Client, run: &str, draws: &mut Draws) -> Asked {
    let names = [
        "",
        "..",
        "%00",
        "%ff%fe",
        "%2e%2e%2f",
        "runs/../..",
        "latest%0d%0aX: y",
        "%E2%80%AE",
        "x".repeat(5000).leak(),
    ];
    let name = draws.one(&names).to_string();
    let path = match draws.below(6) {
        0 => format!("/api/model?name={name}"),
        1 => format!("/api/run?name={name}&after=-1"),
        2 => format!("/api/run?name={}&after=99999999999999999999", crate::support::encoded(run)),
        3 => format!("/api/preview?name={}&step={name}x", crate::support::encoded(run)),
        4 => format!("/api/run?{name}"),
        _ => format!("/{name}x.js"),
    };
    (path.clone(), client.get(&path).status)
}

/// Requests that are no HTTP, or whose ranges and lengths are wrong.
fn of_bytes(client: &Client, run: &str, draws: &mut Draws) -> Asked {
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", client.port);
    let request = match draws.below(8) {
        0 => format!("GET /api/models HTTP/1.1\r\n{host}{host}\r\n"),
        1 => format!("G\u{1}T / HTTP/1.1\r\n{host}\r\n"),
        2 => format!(
            "POST /api/draw HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: -5\r\n\r\n"
        ),
        3 => format!(
            "POST /api/draw HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
        ),
        4 => format!("GET /api/preview?name={run}&step=1 HTTP/1.1\r\n{host}Range: bytes=9-1,-0,x\r\n\r\n"),
        5 => format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(70_000)),
        6 => format!("PUT /api/draw HTTP/1.1\r\n{host}\r\n"),
        _ => format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            draws.one(&["evil", "", "127.0.0.1:1", "[::1"])
        ),
    };
    (request.clone(), client.raw(request.as_bytes()).status)
}
