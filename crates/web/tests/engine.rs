//! What a page that works alone computes, on this machine: the same as the library, from a model in memory.

#[path = "../../diffusion/tests/diffusion/tiny.rs"]
mod tiny;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use duet_diffusion::{Device, Drawing, Form, Model, ModelFiles, Plan, RunConfig, Session, pictures};
use duet_web::{Engine, Reply};
use serde_json::{Value, json};

/// A tiny model that was trained and opened again.
fn model() -> Model {
    let dir = tempfile::tempdir().unwrap();
    let (file, data, run) = (dir.path().join("tiny.toml"), tiny::images(dir.path()), dir.path().join("run"));
    std::fs::write(&file, tiny::CONFIG).unwrap();
    let config =
        RunConfig::resolve("digits", Some(&file), vec![("data.source", data.display().to_string().into())]);
    let config = config.unwrap();
    let images = config.load_data().unwrap();
    let mut session = Session::start(config, images, &run, Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    session.finish().unwrap();
    Model::open(&run, &Device::Cpu).unwrap()
}

fn packed(model: &Model) -> (Vec<u8>, Vec<u8>) {
    let (files, weights) = ModelFiles::of(model, 23).unwrap();
    (serde_json::to_vec(&files).unwrap(), weights)
}

fn json_of(engine: &Engine, request: &str, body: Value) -> Result<Vec<Value>, Value> {
    let (mut said, mut refused) = (Vec::new(), None);
    engine.ask(request, body.to_string().as_bytes(), |reply| match reply {
        Reply::Json(bytes) => said.push(serde_json::from_slice(&bytes).unwrap()),
        Reply::File(bytes) => said.push(json!(bytes.len())),
        Reply::Refused(bytes) => refused = Some(serde_json::from_slice(&bytes).unwrap()),
    });
    refused.map_or(Ok(said), Err)
}

#[test]
fn a_model_in_memory_draws_what_its_folder_draws() {
    let model = model();
    let (files, weights) = packed(&model);
    let engine = Engine::open(&files, &weights, "duet").unwrap();
    for options in [json!({"seeds": "0-4"}), json!({"class": "right", "sampler": "unipc", "guidance": [3.0]})]
    {
        let drawing: Drawing = {
            let mut all = serde_json::to_value(Drawing::default()).unwrap();
            options.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
            serde_json::from_value(all).unwrap()
        };
        let plan = Plan::new(&drawing, &model, 64, &Device::Cpu).unwrap();
        let images = pictures(&plan.draw(|_| Ok(())).unwrap().images).unwrap();
        let said = json_of(&engine, "draw", json!({"drawing": options})).unwrap();
        let drawn: Vec<&Value> = said.iter().filter(|line| line["kind"] == "image").collect();
        assert_eq!(drawn.len(), images.len());
        for (i, (line, image)) in drawn.into_iter().zip(images).enumerate() {
            let file = image.encode_png_with(&plan.texts(Form::Image(i)).unwrap());
            assert_eq!(line["png"], BASE64_STANDARD.encode(file), "image {i}");
        }
        assert_eq!(said.last().unwrap()["kind"], "done");
    }
    let about = json_of(&engine, "model", json!({})).unwrap();
    assert_eq!(about[0]["classes"], json!(["left", "right"]));
    let steps = json_of(&engine, "steps", json!({"drawing": {}, "index": 1})).unwrap();
    assert_eq!(steps[0]["steps"].as_array().unwrap().len(), 4);
    let file = json_of(&engine, "file", json!({"drawing": {}, "form": "tensors"})).unwrap();
    assert_eq!(file[0]["name"], "duet.safetensors");
}

#[test]
fn what_cannot_be_answered_is_refused_in_words() {
    let model = model();
    let (files, weights) = packed(&model);
    let engine = Engine::open(&files, &weights, "duet").unwrap();
    for (request, body, words) in [
        ("draw", json!({"drawing": {"interval": "9:1"}}), "interval"),
        ("draw", json!({"drawing": {"seeds": "0-9999"}}), "at most 256"),
        ("draw", json!({"drawing": {"guide-with": "step-000050"}}), "guide-with: this page holds one model"),
        ("draw", json!({"drawing": {"image": "/etc/passwd"}}), "image"),
        ("classify", json!({"run": "x", "picture": "none"}), "picture"),
        ("runs", json!({}), "no such request"),
    ] {
        let refused = json_of(&engine, request, body).unwrap_err();
        assert!(refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
    // A page that was cut, or changed: no part of it is taken for a model.
    for cut in [0, 1, 8, weights.len() / 2, weights.len() - 1] {
        assert!(Engine::open(&files, &weights[..cut], "duet").is_err(), "{cut} bytes");
    }
    for cut in [0, files.len() / 2, files.len() - 1] {
        assert!(Engine::open(&files[..cut], &weights, "duet").is_err(), "{cut} bytes");
    }
}
