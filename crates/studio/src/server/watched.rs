//! `GET /api/runs`, `/api/run` and `/api/preview`, and `POST /api/stop`: what a training does.

use crate::limits;
use crate::refusal::Refusal;
use crate::server::places::{Places, is_own_file, newest_checkpoint};
use crate::server::studio::Studio;
use duet_diffusion::metrics::{self, METRICS, Metrics};
use duet_diffusion::words::quoted;
use duet_diffusion::{CONFIG, LAST_STEPS, RunConfig, ask_to_stop, is_trained, preview_path};
use serde_json::{Value, json};
use std::path::Path;

/// Larger files are no previews.
const PREVIEW_BYTES: u64 = 64 << 20;

/// Every run with where it is. What of it is not there yet, or damaged, is null.
pub fn runs(places: &Places) -> Value {
    let run = |name: String, path: &Path| {
        let last = rows(path, 0, LAST_STEPS).unwrap_or_default();
        let loss = last.iter().map(|row| row.loss).sum::<f64>() / last.len() as f64;
        let step = last.last().map(|row| row.step).or_else(|| newest_checkpoint(path).map(|(step, _)| step));
        json!({
            "name": name, "step": step.unwrap_or(0), "steps": steps(path), "training": is_trained(path),
            "loss": (!last.is_empty()).then_some(loss),
        })
    };
    let runs: Vec<Value> = places.runs().into_iter().map(|place| run(place.name, &place.path)).collect();
    json!({"runs": runs})
}

/// What a run wrote after a step, its last step, and the command that goes on with it.
pub fn run(Studio { places, program, .. }: &Studio, name: &str, after: u64) -> Result<Value, Refusal> {
    let path = places.run(name)?;
    let rows = rows(&path, after, limits::ROWS)?;
    let last = match rows.last() {
        Some(last) => last.step,
        None => last_step(&path)?,
    };
    Ok(json!({
        "rows": rows, "last": last, "previews": previews(&path), "training": is_trained(&path),
        "steps": steps(&path), "resume": format!("{program} train --resume {}", quoted(name)),
    }))
}

/// The picture of a step.
pub fn preview(places: &Places, name: &str, step: u64) -> Result<Vec<u8>, Refusal> {
    let path = preview_path(&places.run(name)?, step);
    let absent =
        |why: String| Refusal::absent(format!("{name}: the preview of step {step} cannot be read: {why}"));
    if !is_own_file(&path) {
        return Err(absent("there is no such picture".into()));
    }
    duet_files::read(&path, PREVIEW_BYTES).map_err(|error| absent(error.to_string()))
}

/// Asks for the end of a training.
pub fn stop(places: &Places, name: &str) -> Result<Value, Refusal> {
    ask_to_stop(&places.run(name)?)?;
    Ok(json!({}))
}

fn rows(run: &Path, after: u64, most: usize) -> Result<Vec<Metrics>, Refusal> {
    let path = run.join(METRICS);
    match is_own_file(&path) {
        true => Ok(metrics::after(&path, after, most)?),
        false => Ok(Vec::new()),
    }
}

/// The last step that a run has noted, 0 before the first.
fn last_step(run: &Path) -> Result<u64, Refusal> {
    Ok(rows(run, 0, 1)?.last().map_or(0, |row| row.step))
}

/// Steps of the whole run; none where its configuration cannot be read.
fn steps(run: &Path) -> Option<u64> {
    let path = run.join(CONFIG);
    is_own_file(&path).then(|| RunConfig::load(&path).ok()).flatten().map(|(config, _)| config.train.steps)
}

fn previews(run: &Path) -> Vec<u64> {
    let steps = duet_diffusion::previews(run).into_keys();
    steps.filter(|&step| is_own_file(&preview_path(run, step))).collect()
}
