//! `POST /api/note`: what a PNG says of itself, and `POST /api/classify`: what a picture shows.

use crate::asked::ClassifyBody;
use crate::refusal::Refusal;
use crate::studio::Studio;
use crate::work::Cancel;
use duet_diffusion::data::Raster;
use duet_diffusion::{Note, classify};
use serde_json::{Value, json};
use std::path::Path;

/// How a picture was drawn.
pub fn note(bytes: &[u8]) -> Result<Value, Refusal> {
    let (Note { drawing, form, model, .. }, _) = Note::read_bytes(bytes, Path::new("this picture"))?;
    Ok(json!({"drawing": drawing, "form": form, "model": model}))
}

/// What the model takes a picture for.
pub fn classified(
    studio: &Studio,
    asked: &ClassifyBody,
    picture: Raster,
    cancel: &Cancel,
) -> Result<Value, Refusal> {
    let model = studio.models.named(&asked.run, &studio.places)?;
    let found = classify::raster(&model, picture, || cancel.check());
    if cancel.is_cancelled() {
        return Err(Refusal::cancelled());
    }
    Ok(json!({"classes": model.classes, "probabilities": found?.probabilities[0]}))
}
