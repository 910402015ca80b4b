//! `GET /api/models`: what can draw.

use crate::server::places::{self, Place, newest_checkpoint};
use crate::server::studio::Studio;
use duet_diffusion::train::checkpoint::step_of;
use serde_json::{Value, json};
use std::path::Path;

/// Every run with a checkpoint, the chosen one, and how commands call the program.
pub fn models(Studio { places, program, .. }: &Studio) -> Value {
    let step = |place: &Place| match newest_checkpoint(&place.path) {
        Some((step, _)) => Some(Some(step)),
        None if places::is_run(&place.path) => None,
        None => Some(step_of(&place.path)),
    };
    let listed = places.all().into_iter().filter_map(|place| Some((step(&place)?, place)));
    let models: Vec<Value> = listed.map(|(step, place)| json!({"name": place.name, "step": step})).collect();
    json!({"models": models, "chosen": places.chosen().map(|place| place.name), "program": program})
}

/// The checkpoints beside this one, by their steps: each of them may guide.
pub fn other_checkpoints(folder: &Path) -> Vec<u64> {
    let beside = folder.parent().filter(|_| step_of(folder).is_some()).and_then(Path::parent);
    let steps = beside.map(places::checkpoints).unwrap_or_default().into_iter().map(|(step, _)| step);
    steps.filter(|step| Some(*step) != step_of(folder)).collect()
}
