//! `GET /api/model`: what a model knows.

use crate::refusal::Refusal;
use duet_diffusion::sample::Rule;
use duet_diffusion::schedule::{NoiseSchedule, Solver, Spacing};
use duet_diffusion::train::checkpoint;
use duet_diffusion::{Drawing, EXCLUDES, Error, Model, NEEDS, PRESETS, Plan};
use serde_json::{Value, json};

/// All that the page needs to know of a model; `checkpoints` are the steps of those that may guide it.
pub fn model(model: &Model, name: &str, checkpoints: &[u64]) -> Result<Value, Refusal> {
    let config = model.loaded.unet.config();
    let schedule = model.scheduler.noise_schedule().map_err(Error::from)?;
    let prediction = model.scheduler.prediction().map_err(Error::from)?;
    let (height, width) = config.sample_size.map(|size| size.sides()).unzip();
    let pairs = EXCLUDES.iter().flat_map(|(name, others)| others.iter().map(move |other| [*name, *other]));
    let preset = |name: &str| {
        let drawing = Drawing { preset: Some(name.into()), ..Drawing::default() };
        Ok(json!({"name": name, "drawing": usual(drawing, model)?}))
    };
    let presets: Result<Vec<Value>, Refusal> = PRESETS.iter().map(|one| preset(one.name)).collect();
    Ok(json!({
        "name": name, "folder": model.folder.display().to_string(), "step": checkpoint::step_of(&model.folder),
        "classes": model.classes, "null_label": model.null_label.is_some(), "channels": config.in_channels,
        "height": height, "width": width, "timesteps": schedule.len(), "sigmas": sigmas(&schedule),
        "prediction": prediction, "drawing": usual(Drawing::default(), model)?, "presets": presets?,
        "samplers": Solver::names(), "spacings": Spacing::NAMES, "rules": Rule::names(),
        "excludes": pairs.collect::<Vec<_>>(), "needs": NEEDS.map(|(name, other)| [name, other]),
        "checkpoints": checkpoints,
    }))
}

fn sigmas(schedule: &NoiseSchedule) -> Vec<f64> {
    (0..schedule.len()).map(|t| schedule.sigma(t)).collect()
}

/// What a drawing without any other option stands for.
fn usual(drawing: Drawing, model: &Model) -> Result<Value, Refusal> {
    let drawing = Plan::resolved(&drawing, model)?;
    let scheduler = &model.scheduler;
    let sampler = match drawing.sampler {
        Some(sampler) => sampler,
        None => scheduler.solver().map_err(Error::from)?,
    };
    let spacing = match drawing.spacing {
        Some(spacing) => spacing,
        None => scheduler.spacing().map_err(Error::from)?,
    };
    Ok(json!({
        "guidance": drawing.guidance, "steps": drawing.steps, "sampler": sampler, "spacing": spacing,
        "interval": drawing.interval.unwrap_or_default(), "rule": drawing.rule.unwrap_or_default(),
        "history": drawing.history.unwrap_or_default(), "rescale": drawing.rescale,
        "guidance-schedule": drawing.guidance_schedule, "eta": drawing.eta,
        "clip": drawing.clip.unwrap_or(scheduler.clip()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_the_page_offers_is_one() {
        Spacing::NAMES.iter().for_each(|name| drop(name.parse::<Spacing>().unwrap()));
        Rule::names().iter().for_each(|name| drop(name.parse::<Rule>().unwrap()));
        assert_eq!(Rule::names(), ["plain", "zero-star", "apg"]);
    }
}
