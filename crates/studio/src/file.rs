//! `POST /api/file`: the bytes that `sample` writes, and `POST /api/command`: the words that make it write them.

use crate::answers::{Answers, check_index};
use crate::asked::{FileForm, MASK, PICTURE, Wanted};
use crate::cancel::Cancel;
use crate::limits;
use crate::refusal::Refusal;
use duet_diffusion::data::encode_apng;
use duet_diffusion::words::quoted;
use duet_diffusion::{Drawing, FRAME_MS, Form, Frames, Plan, pictures};
use serde_json::{Value, json};

/// A file to save.
pub struct File {
    /// What it may be called.
    pub name: String,
    /// Its media type.
    pub kind: &'static str,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Draws the file.
pub fn file(
    answers: &Answers<'_>,
    wanted: &Wanted,
    (form, index): (FileForm, Option<usize>),
    cancel: &Cancel,
) -> Result<File, Refusal> {
    answers.with_plan(wanted, cancel, |mut plan| {
        check_size(&plan, form)?;
        let on_step = || cancel.check();
        let file = |name: &str, kind, bytes| File { name: name.into(), kind, bytes };
        Ok(match form {
            FileForm::Png => {
                let images = plan.draw(|_| on_step())?.images;
                let bytes = plan.grid(&images)?.encode_png_with(&plan.texts(Form::Grid)?);
                file("duet.png", "image/png", bytes)
            }
            FileForm::Image => {
                let index = index.unwrap_or(0);
                check_index(&plan, index)?;
                plan.sampling = plan.sampling.only(index)?;
                let images = plan.draw(|_| on_step())?.images;
                let bytes = pictures(&images)?[0].encode_png_with(&plan.texts(Form::Image(index))?);
                file(&format!("{}.png", plan.stems[index]), "image/png", bytes)
            }
            FileForm::Tensors => {
                let images = plan.draw(|_| on_step())?.images;
                file("duet.safetensors", "application/octet-stream", plan.tensors([("images", images)])?)
            }
            FileForm::Apng => {
                let mut frames = Frames::default();
                plan.draw(|trajectory| {
                    on_step()?;
                    frames.note(trajectory)
                })?;
                let frames = frames.pictures(&plan)?;
                let bytes = encode_apng(&frames, FRAME_MS, &plan.texts(Form::Animation)?);
                file("duet-way.png", "image/png", bytes.map_err(duet_diffusion::Error::from)?)
            }
        })
    })
}

/// Refuses a picture that is too large to look at.
fn check_size(plan: &Plan, form: FileForm) -> Result<(), Refusal> {
    let (_, height, width) = plan.sampling.shape;
    let scale = u64::from(plan.drawing.scale);
    let of_grid = (height * width * plan.sampling.seeds.len()) as u64 * scale * scale;
    let pixels = match form {
        FileForm::Png => of_grid,
        FileForm::Apng => of_grid.saturating_mul(2 * (1 + plan.sampling.sampler.steps().len() as u64)),
        FileForm::Image | FileForm::Tensors => return Ok(()),
    };
    match pixels > limits::DRAWN_PIXELS {
        true => {
            let error = format!("the file would have {pixels} pixels: at most {} here", limits::DRAWN_PIXELS);
            Err(Refusal::beyond(error).of("scale"))
        }
        false => Ok(()),
    }
}

/// The command that draws the same bytes, and the pictures that have to lie beside it under their names.
pub fn command(answers: &Answers<'_>, wanted: &Wanted, form: FileForm) -> Result<Value, Refusal> {
    let drawing = Drawing { run: answers.model.folder.display().to_string(), ..wanted.drawing.clone() };
    let mut words = vec!["sample".to_string()];
    words.extend(drawing.flags()?);
    let out: &[&str] = match form {
        FileForm::Png => &["--out", "duet.png"],
        FileForm::Image => &["--out", "duet/"],
        FileForm::Tensors => &["--out", "duet.safetensors"],
        FileForm::Apng => &["--out", "duet.png", "--animate", "duet-way.png"],
    };
    words.extend(out.iter().map(|word| (*word).into()));
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let pictures: Vec<&str> = [(&drawing.image, PICTURE), (&drawing.mask, MASK)]
        .into_iter()
        .filter_map(|(path, name)| path.as_ref().map(|_| name))
        .collect();
    Ok(json!({"command": format!("{} {}", answers.program, words.join(" ")), "pictures": pictures}))
}
