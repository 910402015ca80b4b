//! What the page draws is what `sample` draws. crates/cli/tests/cli/studio.rs compares with the program itself.

use crate::support::{server, trained};
use duet_diffusion::data::encode_apng;
use duet_diffusion::{Device, Drawing, FRAME_MS, Form, Frames, Model, Plan, pictures};
use serde_json::json;

#[test]
fn every_file_has_the_bytes_of_the_library() {
    let drawing = Drawing {
        run: trained(),
        seeds: "0-2".parse().unwrap(),
        guidance: vec![0.5, 2.0],
        sampler: Some("unipc".parse().unwrap()),
        steps: Some(5),
        ..Drawing::default()
    };
    let model = Model::of(&drawing, &Device::Cpu).unwrap();
    // Another batch than the server's.
    let plan = Plan::new(&drawing, &model, 5, &Device::Cpu).unwrap();
    let mut frames = Frames::default();
    let images = plan.draw(|trajectory| frames.note(trajectory)).unwrap().images;
    let file = |form: &str, index: usize| {
        let body = json!({"drawing": drawing, "form": form, "index": index});
        let answer = server().post("/api/file", body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        (answer.header("content-disposition").unwrap().to_string(), answer.body)
    };
    let (name, png) = file("png", 0);
    assert!(name == "attachment; filename=\"duet.png\"", "{name}");
    assert!(png == plan.grid(&images).unwrap().encode_png_with(&plan.texts(Form::Grid).unwrap()));
    let (name, tensors) = file("tensors", 0);
    assert!(
        name.ends_with("\"duet.safetensors\"")
            && tensors == plan.tensors([("images", images.clone())]).unwrap()
    );
    let singles: Vec<Vec<u8>> = pictures(&images)
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, picture)| picture.encode_png_with(&plan.texts(Form::Image(i)).unwrap()))
        .collect();
    let (name, image) = file("image", 4);
    assert!(name.ends_with("\"class-left_w-2_seed-1.png\"") && image == singles[4], "{name}");
    let (_, way) = file("apng", 0);
    // Frames of a batch of 5 are those of a batch of 16: each image has its own way.
    let frames = frames.pictures(&plan).unwrap();
    assert!(way == encode_apng(&frames, FRAME_MS, &plan.texts(Form::Animation).unwrap()).unwrap());
    let lines = server().post("/api/draw", json!({"drawing": drawing})).lines();
    let drawn: Vec<Vec<u8>> = lines
        .iter()
        .filter(|line| line["kind"] == "image")
        .map(|line| crate::support::bytes_of(&line["png"]))
        .collect();
    assert!(drawn == singles);
}
