//! Each request is answered as docs/design/studio.md says.

use crate::support::{base64, bytes_of, encoded, server, trained};
use duet_data::Picture;
use duet_diffusion::{PRESETS, RunConfig};
use serde_json::{Value, json};

#[test]
fn every_file_of_the_page_is_served_with_what_it_is() {
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/studio.css", "text/css; charset=utf-8"),
        ("/main.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = server().get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'; img-src 'self' data: blob:;"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in [
        "/none.js",
        "/page/main.js",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/api",
        "/api/none",
        "//etc/passwd",
    ] {
        server().get(path).refused(404);
    }
    server().ask("DELETE", "/", &[], b"").refused(405);
    server().ask("POST", "/main.js", &[], b"").refused(405);
    server().get("/api/draw").refused(405);
    server().post("/api/models", json!({})).refused(405);
}

#[test]
fn models_say_what_the_page_needs_of_them() {
    let models = server().get("/api/models").good();
    assert_eq!(
        models,
        json!({"models": [{"name": trained(), "step": 60}], "chosen": trained(), "program": "duet"})
    );
    let model = server().get(&format!("/api/model?name={}", encoded(&trained()))).good();
    assert_eq!(model["folder"], format!("{}/checkpoints/step-000060", trained()));
    assert_eq!(model["classes"], json!(["left", "right"]));
    assert_eq!((&model["height"], &model["channels"], &model["step"]), (&json!(8), &json!(1), &json!(60)));
    assert_eq!(model["sigmas"].as_array().unwrap().len(), 1000);
    assert_eq!(model["drawing"]["steps"], 4);
    for (preset, told) in PRESETS.iter().zip(model["presets"].as_array().unwrap()) {
        let steps = RunConfig::preset(preset.name).unwrap().sample.steps;
        assert_eq!((&told["name"], &told["drawing"]["steps"]), (&json!(preset.name), &json!(steps)));
    }
    assert_eq!(model["checkpoints"], json!([25, 50]));
    for (key, one) in [("samplers", "unipc"), ("spacings", "karras"), ("rules", "apg")] {
        assert!(model[key].as_array().unwrap().contains(&json!(one)), "{model}");
    }
    assert!(model["excludes"].as_array().unwrap().contains(&json!(["independent-condition", "negative"])));
    assert!(model["needs"].as_array().unwrap().contains(&json!(["strength", "image"])));
    // A checkpoint is a model too, as notes name it.
    let folder = model["folder"].as_str().unwrap();
    assert_eq!(server().get(&format!("/api/model?name={}", encoded(folder))).good()["step"], 60);
}

/// The lines of a drawing by their kinds.
fn drawn(body: Value) -> (Value, Vec<Value>, Value, usize) {
    let answer = server().post("/api/draw", body);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let lines = answer.lines();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<_>>();
    let steps = of("step");
    assert_eq!(steps.last().unwrap()["done"], steps.last().unwrap()["of"]);
    (of("begun")[0].clone(), of("image"), of("done")[0].clone(), steps.len())
}

#[test]
fn a_drawing_comes_image_by_image_with_what_each_shows() {
    let drawing = json!({"run": trained(), "class": "right,left:0.5+right:0.5", "seeds": "3,5", "guidance": [1.0, 2.5]});
    let (begun, images, done, steps) = drawn(json!({"drawing": drawing}));
    assert_eq!((&begun["images"], &begun["steps"], &begun["columns"]), (&json!(8), &json!(4), &json!(2)));
    assert_eq!(begun["heads"], json!(["3", "5"]));
    assert_eq!(begun["rows"][1], "right w 2.5");
    assert_eq!(steps, 4);
    let shown: Vec<_> =
        images.iter().map(|i| (i["class"].clone(), i["seed"].clone(), i["weight"].clone())).collect();
    assert_eq!(shown[0], (json!("right"), json!(3), json!(1.0)));
    assert_eq!(shown[3], (json!("right"), json!(5), json!(2.5)));
    assert_eq!(shown[4].0, "left:0.50+right:0.50");
    assert!(
        done["summary"].as_str().unwrap().contains("4 steps") && done["evaluations"].as_u64().unwrap() > 32
    );
    for (i, image) in images.iter().enumerate() {
        assert_eq!(image["index"], i);
        Picture::decode(&bytes_of(&image["png"])).unwrap();
    }
}

#[test]
fn a_draft_is_the_first_images_of_the_same_drawing() {
    let drawing = json!({"run": trained(), "seeds": "0-19"});
    let (begun, all, ..) = drawn(json!({"drawing": drawing}));
    assert_eq!((begun["images"].as_u64(), all.len()), (Some(40), 40));
    let (begun, draft, ..) = drawn(json!({"drawing": drawing, "draft": 3, "client": "one"}));
    assert_eq!((begun["images"].as_u64(), draft.len()), (Some(3), 3));
    assert_eq!(draft, all[..3]);
}

#[test]
fn the_two_artists_are_shown_step_by_step() {
    let drawing = json!({
        "run": trained(), "class": "left", "seeds": "1,2", "guidance": [3.0], "steps": 6, "clip": "none",
        "interval": "0t:600t", "sampler": "ddim",
    });
    let found = server().post("/api/steps", json!({"drawing": drawing, "index": 1})).good();
    assert_eq!((&found["class"], &found["seed"], &found["weight"]), (&json!("left"), &json!(2), &json!(3.0)));
    let steps = found["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 6);
    for step in steps {
        let inside = step["timestep"].as_u64().unwrap() <= 600;
        assert_eq!(step["guided"], inside, "{step}");
        let all = [("x", true), ("given", true), ("x0", true), ("free", inside), ("difference", inside)];
        for (key, there) in all {
            match there {
                true => drop(Picture::decode(&bytes_of(&step[key])).unwrap()),
                false => assert!(step[key].is_null(), "{key}"),
            }
        }
        let (sigma, bar) = (step["sigma"].as_f64().unwrap(), step["alpha_bar"].as_f64().unwrap());
        assert!((sigma * sigma - (1.0 - bar) / bar).abs() < 1e-6 * sigma * sigma, "{step}");
    }
    let (_, images, ..) = drawn(json!({"drawing": drawing}));
    assert_eq!(found["image"], images[1]["png"]);
    let beyond = server().post("/api/steps", json!({"drawing": drawing, "index": 2})).refused(400);
    assert!(beyond.contains("index 2: the drawing has 2 images"), "{beyond}");
}

#[test]
fn a_picture_says_how_it_was_drawn_and_what_it_shows() {
    let drawing = json!({"run": trained(), "class": "right", "seeds": "4", "guidance": [2.0]});
    let (_, images, ..) = drawn(json!({"drawing": drawing}));
    let note = server().post("/api/note", json!({"picture": images[0]["png"]})).good();
    assert_eq!(note["drawing"]["class"], "right");
    assert_eq!(note["form"], json!({"image": 0}));
    assert_eq!(note["drawing"]["run"], format!("{}/checkpoints/step-000060", trained()));
    // What a picture says of itself draws it again.
    let (_, again, ..) = drawn(json!({"drawing": note["drawing"]}));
    assert_eq!(again[0]["png"], images[0]["png"]);
    let found = server().post("/api/classify", json!({"run": trained(), "picture": images[0]["png"]})).good();
    let probabilities: Vec<f64> =
        found["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    assert_eq!(found["classes"], json!(["left", "right"]));
    assert!(
        (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9 && probabilities[1] > 0.5,
        "{probabilities:?}"
    );
    let plain = Picture::new(1, 1, 1, vec![7]).unwrap().encode_png();
    let nothing = server().post("/api/note", json!({"picture": base64(&plain)})).refused(400);
    assert!(nothing.contains("does not say how it was made"), "{nothing}");
}

#[test]
fn a_drawing_begins_with_a_picture_that_is_on_no_disk() {
    let half = |left: bool| (0..64).map(|p| if (p % 8 < 4) == left { 255 } else { 0 }).collect::<Vec<u8>>();
    let picture = |left| base64(&Picture::new(1, 8, 8, half(left)).unwrap().encode_png());
    let drawing = json!({"run": trained(), "class": "left", "seeds": "1", "steps": 10});
    let with = |strength: &str| {
        let mut drawing = drawing.clone();
        drawing["strength"] = strength.into();
        let (_, images, ..) = drawn(json!({"drawing": drawing, "image": picture(true)}));
        images[0]["png"].clone()
    };
    assert_ne!(with("0.2"), with("0.9"));
    let note = server().post("/api/note", json!({"picture": with("0.2")})).good();
    assert_eq!(note["drawing"]["image"], "picture.png");
    let kept = json!({"drawing": drawing, "image": picture(true), "mask": picture(false)});
    let (_, images, ..) = drawn(kept);
    let image = Picture::decode(&bytes_of(&images[0]["png"])).unwrap();
    assert!((0..64).filter(|p| p % 8 < 4).all(|p| image.pixels[p] == 255));
    let inverted = json!({"run": trained(), "invert": 2, "class": "left"});
    let (begun, ..) = drawn(json!({"drawing": inverted, "image": picture(true)}));
    assert_eq!(begun["images"], 1);
}

#[test]
fn a_command_names_what_differs_and_quotes_it() {
    let drawing = json!({
        "run": trained(), "class": "left+right", "guidance": [-1.0, 2.5], "cfg-plus-plus": false, "no-captions": true,
    });
    let found = server().post("/api/command", json!({"drawing": drawing})).good();
    let expected = format!(
        "duet sample --run {}/checkpoints/step-000060 --class left+right --guidance=-1.0,2.5 --no-captions --out duet.png",
        trained()
    );
    assert_eq!(found, json!({"command": expected, "pictures": []}));
    let evil = json!({"run": trained(), "class": "$(reboot);'x'"});
    let command = server().post("/api/command", json!({"drawing": evil, "form": "apng"})).good();
    let command = command["command"].as_str().unwrap();
    assert!(
        command.contains(r"--class '$(reboot);'\''x'\''' --out duet.png --animate duet-way.png"),
        "{command}"
    );
}
