//! A request beyond a limit is refused with what the limit is.

use crate::support::{base64, own_runs, parse, serve, server, trained};
use duet_data::Picture;
use serde_json::{Value, json};
use std::io::{Read, Write};

#[track_caller]
fn beyond(path: &str, body: Value, option: &str, limit: &str) {
    let answer = server().post(path, body);
    assert_eq!((answer.status, &answer.json()["option"]), (413, &json!(option)), "{}", answer.json());
    let error = answer.refused(413);
    assert!(error.contains(limit), "{error}");
}

#[test]
fn images_steps_and_sizes_are_limited() {
    let of = |more: Value| {
        let mut drawing = json!({"run": trained()});
        drawing.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"drawing": drawing})
    };
    beyond("/api/draw", of(json!({"seeds": "0-128"})), "seeds", "258 images: at most 256");
    beyond("/api/draw", of(json!({"seeds": "0-999999"})), "seeds", "at most 256");
    beyond("/api/draw", of(json!({"seeds": "0-9", "interpolate": "seeds:1000"})), "seeds", "at most 256");
    beyond("/api/draw", of(json!({"seeds": "0-99", "steps": 999})), "steps", "at most 20000");
    beyond("/api/steps", of(json!({"seeds": "1", "steps": 400})), "steps", "at most 250");
    let many = of(json!({"seeds": "0-99", "scale": 32, "steps": 20}));
    let mut animation = many.clone();
    animation["form"] = "apng".into();
    beyond("/api/file", animation, "scale", "at most 256000000");
    beyond("/api/draw", of(json!({"class": "left,".repeat(2000)})), "class", "at most 4096");
    let refused = server().post("/api/draw", json!({"drawing": {}, "client": "x".repeat(65)})).refused(413);
    assert!(refused.contains("at most 64"), "{refused}");
    let picture = Picture::new(1, 8, 8, vec![0; 64]).unwrap().encode_png();
    let mut invert = of(json!({"invert": 1000, "steps": 100}));
    invert["image"] = base64(&picture).into();
    beyond("/api/draw", invert, "steps", "at most 20000");
}

#[test]
fn a_picture_of_too_many_pixels_is_not_unpacked() {
    let large = Picture::new(1, 5000, 5000, vec![0; 25_000_000]).unwrap().encode_png();
    assert!(large.len() < 1 << 20);
    let body = json!({"drawing": {"run": trained()}, "image": base64(&large)});
    let refused = server().post("/api/draw", body).refused(422);
    assert!(refused.contains("pixels"), "{refused}");
}

#[test]
fn a_body_is_limited_whether_its_length_is_told_or_not() {
    let json = ("Content-Type", "application/json");
    let head = format!(
        "POST /api/draw HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: application/json\r\n",
        server().port
    );
    let told = server().raw(format!("{head}Content-Length: 99999999999\r\n\r\n").as_bytes());
    assert!(told.refused(413).contains("25165824"));
    let mut stream = server().connect();
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    // The server closes before all is sent.
    while stream.write_all(&chunk).is_ok() {}
    assert_eq!(server().ask("POST", "/api/note", &[json], b"").status, 400);
}

#[test]
fn requests_without_pictures_are_small_and_wait_for_no_large_ones() {
    let refused = server().post("/api/stop", json!({"name": "x".repeat(300 << 10)})).refused(413);
    assert!(refused.contains("at most 262144"), "{refused}");
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let head = format!(
        "POST /api/note HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: 25165824\r\n\r\n",
        client.port
    );
    let begun = || {
        let mut stream = client.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let held: Vec<_> = (0..4).map(|_| begun()).collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(client.post("/api/draw", json!({"drawing": {"run": run}, "draft": 1})).status, 200);
    // A fifth large one waits until another is gone.
    let large = json!({"picture": "A".repeat(1 << 20)});
    let mut fifth = client.begin("/api/note", large);
    fifth.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    assert!(fifth.read(&mut [0; 64]).is_err());
    drop(held);
    fifth.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut all = Vec::new();
    fifth.read_to_end(&mut all).unwrap();
    assert_eq!(parse(&all).status, 400);
}

#[test]
fn drawings_that_wait_are_limited() {
    let (_dir, runs, run) = own_runs();
    let client = serve(&runs);
    let long = json!({"drawing": {"run": run, "seeds": "0-99", "steps": 100}});
    let mut waiting: Vec<_> = (0..17).map(|_| client.begin("/api/draw", long.clone())).collect();
    let refused = std::iter::repeat_with(|| {
        let mut stream = client.begin("/api/draw", long.clone());
        stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        let mut all = Vec::new();
        // One that waits is not answered yet.
        let _ = stream.read_to_end(&mut all);
        waiting.push(stream);
        parse(&all)
    });
    let refused = refused.take(100).find(|answer| answer.status == 503).unwrap().refused(503);
    assert!(refused.contains("16 drawings are waiting"), "{refused}");
    drop(waiting);
    // All of them are cancelled, and there is room again.
    let again = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let answer = client.post("/api/draw", json!({"drawing": {"run": run}, "draft": 1}));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(again.unwrap().lines().last().unwrap()["kind"], "done");
}
