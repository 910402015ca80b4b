//! From a drawing and a model to guidance and sampler.

use crate::config::{DDIM, RunConfig, SampleConfig, with_eta};
use crate::drawing::Drawing;
use crate::error::{Result, Within, option};
use crate::model::Model;
use duet_sample::{Away, Guidance, History, Renoise, Rescale, Rule, Sampler, Strength, WeightSchedule};
use duet_schedule::{Ddim, Solver, Steps};

/// Where neither a flag nor a run says otherwise.
const GUIDANCE: f64 = 2.0;
pub const STEPS: usize = 25;
/// Of CFG++, as its paper has it (Chung et al. 2024, section 4).
const LAMBDA: f64 = 0.6;

/// The drawing with what the preset, or else the model's run, says where no flag does.
pub fn resolved(drawing: &Drawing, model: &Model) -> Result<Drawing> {
    let mut drawing = drawing.clone();
    let preset = drawing.preset.take().map(|name| RunConfig::preset_sample(&name)).transpose()?;
    if let Some(preset) = &preset {
        drawing.spacing = drawing.spacing.or_else(|| Some(preset.spacing.clone()));
    }
    let run = preset.as_ref().or(model.sample.as_ref());
    if drawing.guidance.is_empty() {
        drawing.guidance = vec![match run {
            _ if drawing.cfg_plus_plus => LAMBDA,
            _ if !can_be_guided(&drawing, model) => 1.0,
            Some(run) => run.guidance,
            None => GUIDANCE,
        }];
    }
    drawing.steps = drawing.steps.or(Some(run.map_or(STEPS, |run| run.steps)));
    drawing.clip = drawing.clip.or(run.and_then(|run| run.clip));
    // CFG++ is as its paper has it: plain, everywhere, with DDIM, whose eta and inversion are also its.
    if !drawing.cfg_plus_plus {
        drawing.interval = drawing.interval.or(run.and_then(|run| run.interval));
        drawing.rule = drawing.rule.or_else(|| run.and_then(|run| run.rule.clone()));
        // The way back from an image to its noise knows no step before.
        if drawing.invert.is_none() {
            drawing.history = drawing.history.or(run.and_then(|run| run.history));
        }
        let schedule = || run.and_then(|run| run.guidance_schedule.clone());
        drawing.guidance_schedule = drawing.guidance_schedule.or_else(schedule);
        if drawing.invert.is_none() {
            with_sampler_of(&mut drawing, run);
        }
    }
    drawing.guidance_schedule = drawing.guidance_schedule.or(Some(WeightSchedule::Constant));
    drawing.eta = drawing.eta.or(Some(match drawing.sampler {
        Some(Solver::Ddim(Ddim { eta })) => eta,
        _ => 0.0,
    }));
    Ok(drawing)
}

/// Takes the sampler and its η from the run. An η that is asked for asks for DDIM, and the run's goes
/// with its own sampler.
fn with_sampler_of(drawing: &mut Drawing, run: Option<&SampleConfig>) {
    let Some(run) = run else { return };
    if drawing.sampler.is_none() && drawing.eta.unwrap_or(0.0) == 0.0 {
        drawing.sampler = run.sampler;
    }
    if drawing.sampler == run.sampler {
        drawing.eta = drawing.eta.or(run.eta);
    }
}

/// Whether there is anything to be led away from.
fn can_be_guided(drawing: &Drawing, model: &Model) -> bool {
    let asked = drawing.negative.is_some() || drawing.guide_with.is_some() || drawing.independent_condition;
    asked || model.null_label.is_some()
}

/// Guidance as the flags ask for it; none for a model without classes, unless by another model.
pub fn guidance(drawing: &Drawing, model: &Model) -> Result<Guidance> {
    let Some(&weight) = drawing.guidance.first() else {
        return Err(option("guidance", ": at least one number is needed"));
    };
    let history = drawing.history.unwrap_or_default();
    let away = away(drawing, model)?;
    if model.loaded.unet.config().num_class_embeds.is_none() && !away.is_some_and(Away::is_guide) {
        return Ok(Guidance::new(1.0, None).with_history(history));
    }
    let schedule = model.scheduler.noise_schedule()?;
    let interval = drawing.interval.unwrap_or_default().noise_interval(&schedule).in_option("interval")?;
    let guidance = Guidance::new(weight, None)
        .with_schedule(drawing.guidance_schedule.clone().unwrap_or_default())
        .with_interval(interval)
        .with_rule(drawing.rule.clone().unwrap_or_default())
        .with_history(history)
        .with_rescale(drawing.rescale);
    let guidance = match away {
        Some(away) => guidance.with_away(away),
        None => guidance,
    };
    if !drawing.cfg_plus_plus {
        return Ok(guidance);
    }
    if let Some(weight) = drawing.guidance.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
        return Err(option("guidance", format!(" {weight}: with --cfg-plus-plus it is 0 to 1")));
    }
    Ok(guidance.with_renoise(Renoise::Null))
}

fn away(drawing: &Drawing, model: &Model) -> Result<Option<Away>> {
    let label = match &drawing.negative {
        Some(class) => Some(class.label("negative", &model.classes)?),
        None => model.null_label,
    };
    Ok(match (&drawing.guide_with, label) {
        _ if drawing.independent_condition => Some(Away::Independent { classes: model.classes.len() as u32 }),
        (Some(_), Some(label)) if drawing.guide_null || drawing.negative.is_some() => {
            Some(Away::GuideLabel(label))
        }
        (Some(_), None) if drawing.guide_null => {
            return Err(option("guide-null", ": the model has no null label"));
        }
        (Some(_), _) => Some(Away::Guide),
        (None, label) => label.map(Away::Label),
    })
}

/// The sampler of the drawing, and of the model's scheduler where that says nothing.
pub fn sampler(drawing: &Drawing, model: &Model) -> Result<Sampler> {
    let scheduler = &model.scheduler;
    let solver = drawing.sampler.map_or_else(|| scheduler.solver(), Ok)?;
    let solver = with_eta(solver, drawing.eta)?;
    if let (Solver::Heun(_), true) = (solver, drawing.cfg_plus_plus) {
        return Err(option(
            "cfg-plus-plus",
            ": puts noise back once a step, and heun asks twice; use another sampler",
        ));
    }
    let prediction = scheduler.prediction()?;
    if let Some(warning) = prediction.check(&scheduler.noise_schedule()?)? {
        log::warn!("{warning}");
    }
    let steps = kept(drawing, steps(drawing, model, solver)?);
    let sampler = Sampler::new(steps, prediction, solver).in_option("sampler")?;
    sampler.with_clip(drawing.clip.unwrap_or(scheduler.clip())).in_option("clip")
}

/// The deterministic DDIM whose way `--invert` goes back.
pub fn inverted(drawing: &Drawing, model: &Model) -> Result<Sampler> {
    Ok(Sampler::new(steps(drawing, model, DDIM)?, model.scheduler.prediction()?, DDIM)?)
}

fn steps(drawing: &Drawing, model: &Model, solver: Solver) -> Result<Steps> {
    let intervals = solver.intervals(drawing.steps.unwrap_or(STEPS));
    let Some(spacing) = &drawing.spacing else {
        return model.scheduler.steps(intervals).in_option("steps");
    };
    let schedule = model.scheduler.noise_schedule()?;
    let timesteps = spacing.timesteps(intervals, &schedule).in_option("steps")?;
    Ok(Steps::new(&schedule, &timesteps)?)
}

/// The steps that an image takes which does not begin in pure noise.
fn kept(drawing: &Drawing, steps: Steps) -> Steps {
    if drawing.image.is_none() || drawing.invert.is_some() {
        return steps;
    }
    let default = if drawing.mask.is_some() { Strength::ALL } else { Strength::USUAL };
    drawing.strength.unwrap_or(default).kept(&steps)
}

/// A line about the settings, for people.
pub fn summary(drawing: &Drawing, solver: &str) -> String {
    let mut parts = Vec::new();
    if let [weight] = drawing.guidance[..] {
        parts.push(format!("w {weight}"));
    }
    parts.push(drawing.sampler.map_or_else(|| solver.into(), |sampler| sampler.to_string()));
    parts.push(format!("{} steps", drawing.steps.unwrap_or(STEPS)));
    parts.extend(drawing.spacing.as_ref().map(ToString::to_string));
    parts.extend(drawing.interval.map(|interval| format!("interval {interval}")));
    parts.extend(drawing.rule.as_ref().filter(|rule| **rule != Rule::default()).map(ToString::to_string));
    let history = drawing.history.filter(|history| *history != History::default());
    parts.extend(history.map(|history| format!("history {history}")));
    let schedule =
        drawing.guidance_schedule.as_ref().filter(|schedule| **schedule != WeightSchedule::Constant);
    parts.extend(schedule.map(|schedule| format!("{schedule} schedule")));
    if drawing.rescale != Rescale::default() {
        parts.push(format!("rescale {}", drawing.rescale));
    }
    if drawing.cfg_plus_plus {
        parts.push("CFG++".into());
    }
    parts.extend(drawing.negative.as_ref().map(|class| format!("away from {class}")));
    parts.extend(drawing.guide_with.as_ref().map(|guide| format!("guided with {guide}")));
    if drawing.independent_condition {
        parts.push("independent condition".into());
    }
    parts.join(", ")
}
