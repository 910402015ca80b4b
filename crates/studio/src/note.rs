//! `POST /api/note`: what a PNG says of itself, and `POST /api/classify`: what a picture shows.

use crate::cancel::Cancel;
use crate::refusal::Refusal;
use duet_diffusion::data::Raster;
use duet_diffusion::{Model, Note, classify};
use serde_json::{Value, json};
use std::path::Path;

/// How a picture was drawn.
pub fn note(bytes: &[u8]) -> Result<Value, Refusal> {
    let (Note { drawing, form, model, .. }, _) = Note::read_bytes(bytes, Path::new("this picture"))?;
    Ok(json!({"drawing": drawing, "form": form, "model": model}))
}

/// What the model takes a picture for.
pub fn classified(model: &Model, picture: Raster, cancel: &Cancel) -> Result<Value, Refusal> {
    let found = classify::raster(model, picture, || cancel.check());
    if cancel.is_cancelled() {
        return Err(Refusal::cancelled());
    }
    Ok(json!({"classes": model.classes, "probabilities": found?.probabilities[0]}))
}
