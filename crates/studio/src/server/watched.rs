//! `GET /api/runs`, `/api/run` and `/api/preview`, and `POST /api/stop`: what a training does.

use crate::limits;
use crate::refusal::Refusal;
use crate::server::places::{Places, is_own_file, newest_checkpoint};
use crate::server::studio::Studio;
use duet_diffusion::metrics::{self, METRICS, Metrics};
use duet_diffusion::words::quoted;
use duet_diffusion::{CONFIG, LAST_STEPS, RunConfig, ask_to_stop, is_trained, preview_path, training_curves};
use serde_json::{Value, json};
use std::path::Path;

/// Larger files are no previews.
const PREVIEW_BYTES: u64 = 64 << 20;

/// Every run with where it is. What of it is not there yet, or damaged, is null.
pub fn runs(places: &Places) -> Value {
    let run = |name: String, path: &Path| {
        let last = rows(path, LAST_STEPS).unwrap_or_default();
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

/// Where a run is, its curves if it has steps after this one, and the command that goes on with it.
pub fn run(Studio { places, program, .. }: &Studio, name: &str, after: u64) -> Result<Value, Refusal> {
    let path = places.run(name)?;
    let last = rows(&path, 1)?.last().map_or(0, |row| row.step);
    let curves = match last > after {
        true => Some(training_curves(&rows(&path, limits::ROWS)?)),
        false => None,
    };
    Ok(json!({
        "curves": curves, "last": last, "previews": previews(&path), "training": is_trained(&path),
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

/// The last rows of a run's metrics, at most `most`.
fn rows(run: &Path, most: usize) -> Result<Vec<Metrics>, Refusal> {
    let path = run.join(METRICS);
    match is_own_file(&path) {
        true => Ok(metrics::after(&path, 0, most)?),
        false => Ok(Vec::new()),
    }
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
