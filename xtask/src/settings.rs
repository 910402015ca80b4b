//! From the flags of a drawing to guidance and sampler.

use crate::config::{RunConfig, Sample};
use crate::drawing::Drawing;
use crate::exit::usage;
use crate::model_folder::Model;
use crate::selection;
use crate::terminal::err;
use anyhow::{Context, Result};
use duet_sample::{Away, Guidance, History, NoiseInterval, Renoise, Rescale, Rule, Sampler, WeightSchedule};
use duet_schedule::{
    Clip, Ddim, Ddpm, DpmAlgorithm, DpmSolver, Euler, Heun, NoiseSchedule, SecondOrder, Solver, Spacing,
    Steps, ThirdOrder, UniPc, UniPcVariant, Variance,
};

/// Where neither a flag nor a run says otherwise.
const GUIDANCE: f64 = 2.0;
pub const STEPS: usize = 25;
/// Noise levels within which a step is led on, where only how far is said.
const HISTORY: (f64, f64) = (0.5, 3.0);
/// Of CFG++, as its paper has it (Chung et al. 2024, section 4).
const LAMBDA: f64 = 0.6;

/// The drawing with what the preset, or else the model's run, says where no flag does.
pub fn resolved(drawing: &Drawing, model: &Model) -> Result<Drawing> {
    let mut drawing = drawing.clone();
    let preset = drawing.preset.take().map(|name| RunConfig::preset_sample(&name)).transpose()?;
    if let Some(preset) = &preset {
        drawing.spacing = drawing.spacing.or_else(|| Some(preset.spacing.to_string()));
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
    drawing.clip = drawing.clip.or_else(|| run.and_then(|run| run.clip.clone()));
    // CFG++ is as its paper has it: plain, everywhere, with DDIM, whose eta and inversion are also its.
    if !drawing.cfg_plus_plus {
        drawing.interval = drawing.interval.or_else(|| run.and_then(|run| run.interval.clone()));
        drawing.rule = drawing.rule.or_else(|| run.and_then(|run| run.rule.clone()));
        // The way back from an image to its noise knows no step before.
        if drawing.invert.is_none() {
            drawing.history = drawing.history.or_else(|| run.and_then(|run| run.history.clone()));
        }
        let schedule = || run.and_then(|run| run.guidance_schedule.clone());
        drawing.guidance_schedule = drawing.guidance_schedule.or_else(schedule);
        if drawing.invert.is_none() {
            with_sampler_of(&mut drawing, run);
        }
    }
    drawing.guidance_schedule = drawing.guidance_schedule.or_else(|| Some("constant".into()));
    drawing.eta = drawing.eta.or(Some(0.0));
    Ok(drawing)
}

/// Takes the sampler and its η from the run. An η that is asked for asks for DDIM, and the run's goes
/// with its own sampler.
fn with_sampler_of(drawing: &mut Drawing, run: Option<&Sample>) {
    let Some(run) = run else { return };
    if drawing.sampler.is_none() && drawing.eta.unwrap_or(0.0) == 0.0 {
        drawing.sampler.clone_from(&run.sampler);
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
        return Err(usage("--guidance: at least one number is needed"));
    };
    let history = history(drawing.history.as_deref())?;
    let away = away(drawing, model)?;
    if model.loaded.unet.config().num_class_embeds.is_none() && !away.is_some_and(Away::is_guide) {
        return Ok(Guidance::new(1.0, None).with_history(history));
    }
    let interval = interval(drawing.interval.as_deref(), &model.scheduler.noise_schedule()?)?;
    let guidance = Guidance::new(weight, None)
        .with_schedule(schedule(drawing.guidance_schedule.as_deref())?)
        .with_interval(interval)
        .with_rule(rule(drawing.rule.as_deref())?)
        .with_history(history)
        .with_rescale(Rescale::new(drawing.rescale).context("--rescale")?);
    let guidance = match away {
        Some(away) => guidance.with_away(away),
        None => guidance,
    };
    if !drawing.cfg_plus_plus {
        return Ok(guidance);
    }
    if let Some(weight) = drawing.guidance.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
        return Err(usage(format!("--guidance {weight}: with --cfg-plus-plus it is 0 to 1")));
    }
    Ok(guidance.with_renoise(Renoise::Null))
}

fn away(drawing: &Drawing, model: &Model) -> Result<Option<Away>> {
    let label = match &drawing.negative {
        Some(class) => match selection::classes(class, &model.classes)?[..] {
            [label] => Some(label),
            _ => return Err(usage(format!("--negative {class}: one class is needed"))),
        },
        None => model.null_label,
    };
    Ok(match (&drawing.guide_with, label) {
        _ if drawing.independent_condition => Some(Away::Independent { classes: model.classes.len() as u32 }),
        (Some(_), Some(label)) if drawing.guide_null || drawing.negative.is_some() => {
            Some(Away::GuideLabel(label))
        }
        (Some(_), None) if drawing.guide_null => {
            return Err(usage("--guide-null: the model has no null label"));
        }
        (Some(_), _) => Some(Away::Guide),
        (None, label) => label.map(Away::Label),
    })
}

fn schedule(text: Option<&str>) -> Result<WeightSchedule> {
    let text = text.unwrap_or("constant");
    Ok(match text {
        "constant" => WeightSchedule::Constant,
        "linear" => WeightSchedule::Linear,
        "cosine" => WeightSchedule::Cosine,
        list => {
            let weights: Result<Vec<f64>, _> = list.split(',').map(|weight| weight.trim().parse()).collect();
            WeightSchedule::List(weights.map_err(|_| {
                usage(format!(
                    "--guidance-schedule {text}: constant, linear, cosine, or a number for each step"
                ))
            })?)
        }
    })
}

/// The same for so many steps, which a list must have.
pub fn schedule_for(text: Option<&str>, steps: usize) -> Result<WeightSchedule> {
    match schedule(text)? {
        WeightSchedule::List(weights) if weights.len() != steps => Err(usage(format!(
            "guidance_schedule: {} weights for {steps} steps; one for each is needed",
            weights.len()
        ))),
        schedule => Ok(schedule),
    }
}

/// The interval of a text such as "0.3:5" or "100t:800t"; everywhere without one.
pub fn interval(text: Option<&str>, noise: &NoiseSchedule) -> Result<NoiseInterval> {
    let Some(text) = text.filter(|text| *text != "all") else { return Ok(NoiseInterval::default()) };
    let wrong =
        || usage(format!("--interval {text}: two noise levels such as 0.2:5, or timesteps 100t:800t"));
    let (low, high) = text.split_once(':').ok_or_else(wrong)?;
    let interval = match (low.strip_suffix('t'), high.strip_suffix('t')) {
        (Some(low), Some(high)) => NoiseInterval::of_timesteps(
            low.parse().map_err(|_| wrong())?,
            high.parse().map_err(|_| wrong())?,
            noise,
        ),
        _ => NoiseInterval::new(low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?),
    };
    interval.context("--interval")
}

/// The history of a text such as "0.5" or "0.5:0.3:3"; none without one.
pub fn history(text: Option<&str>) -> Result<History> {
    let Some(text) = text else { return Ok(History::default()) };
    let wrong = || {
        usage(format!(
            "--history {text}: WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more, LOW and HIGH noise levels"
        ))
    };
    let numbers: Result<Vec<f64>, _> = text.split(':').map(str::parse).collect();
    let (weight, (low, high)) = match numbers.map_err(|_| wrong())?[..] {
        [weight] => (weight, HISTORY),
        [weight, low, high] => (weight, (low, high)),
        _ => return Err(wrong()),
    };
    History::new(weight, NoiseInterval::new(low, high).context("--history")?).context("--history")
}

/// The rule of a text such as "apg:0:2"; plain without one.
pub fn rule(text: Option<&str>) -> Result<Rule> {
    let Some(text) = text else { return Ok(Rule::default()) };
    text.parse().map_err(|error| usage(format!("--rule {error}")))
}

/// The sampler of the flags, and of the model's scheduler where they say nothing.
pub fn sampler(drawing: &Drawing, model: &Model) -> Result<Sampler> {
    let scheduler = &model.scheduler;
    let solver = with_eta(solver(drawing.sampler.as_deref(), scheduler.solver()?)?, drawing.eta)?;
    if solver == Solver::Heun(Heun) && drawing.cfg_plus_plus {
        return Err(usage(
            "--cfg-plus-plus: puts noise back once a step, and heun asks twice; use another sampler",
        ));
    }
    let prediction = scheduler.prediction()?;
    if let Some(warning) = prediction.check(&scheduler.noise_schedule()?)? {
        err!("warning: {warning}");
    }
    let steps = kept(drawing, steps(drawing, model, solver)?)?;
    let sampler = Sampler::new(steps, prediction, solver).context("--sampler")?;
    Ok(sampler.with_clip(clip(drawing.clip.as_deref(), scheduler.clip())?)?)
}

/// The solver with DDIM's η; 0 without one.
pub fn with_eta(solver: Solver, eta: Option<f64>) -> Result<Solver> {
    let eta = eta.unwrap_or(0.0);
    match solver {
        _ if !(0.0..=1.0).contains(&eta) => Err(usage(format!("--eta {eta}: must be 0 to 1"))),
        Solver::Ddim(_) => Ok(Ddim { eta }.into()),
        _ if eta != 0.0 => Err(usage(format!("--eta {eta}: only --sampler ddim has it"))),
        solver => Ok(solver),
    }
}

/// The deterministic DDIM whose way `--invert` goes back.
pub fn inverted(drawing: &Drawing, model: &Model) -> Result<Sampler> {
    let ddim = Solver::Ddim(Ddim { eta: 0.0 });
    Ok(Sampler::new(steps(drawing, model, ddim)?, model.scheduler.prediction()?, ddim)?)
}

fn steps(drawing: &Drawing, model: &Model, solver: Solver) -> Result<Steps> {
    let intervals = solver.intervals(drawing.steps.unwrap_or(STEPS));
    let Some(text) = &drawing.spacing else { return model.scheduler.steps(intervals).context("--steps") };
    let schedule = model.scheduler.noise_schedule()?;
    let timesteps = text.parse::<Spacing>().context("--spacing")?.timesteps(intervals, &schedule);
    Ok(Steps::new(&schedule, &timesteps.context("--steps")?)?)
}

/// The steps that an image takes which does not begin in pure noise.
fn kept(drawing: &Drawing, steps: Steps) -> Result<Steps> {
    let default = if drawing.mask.is_some() { 1.0 } else { 0.6 };
    if drawing.image.is_none() || drawing.invert.is_some() {
        return Ok(steps);
    }
    let strength = drawing.strength.unwrap_or(default);
    if !(strength > 0.0 && strength <= 1.0) {
        return Err(usage(format!("--strength {strength}: above 0 and at most 1")));
    }
    Ok(steps.last((strength * steps.len() as f64).round() as usize))
}

/// The solver of a name; `default` without one.
pub fn solver(name: Option<&str>, default: Solver) -> Result<Solver> {
    let dpm = |algorithm| {
        Solver::DpmSolver(DpmSolver {
            order: 2,
            algorithm,
            second_order: SecondOrder::Midpoint,
            third_order: ThirdOrder::Exact,
            lower_order_final: true,
            euler_at_final: true,
        })
    };
    Ok(match name {
        None => default,
        Some("ddim") => Solver::Ddim(Ddim { eta: 0.0 }),
        Some("ddpm") => Solver::Ddpm(Ddpm { variance: Variance::Small }),
        Some("euler") => Solver::Euler(Euler),
        Some("heun") => Solver::Heun(Heun),
        Some("unipc") => Solver::UniPc(UniPc {
            order: 2,
            variant: UniPcVariant::Bh2,
            corrector: true,
            lower_order_final: true,
        }),
        Some("dpmpp-2m") => dpm(DpmAlgorithm::DataOde),
        Some("dpmpp-2m-sde") => dpm(DpmAlgorithm::DataSde),
        Some(other) => {
            let known = "ddim, ddpm, euler, heun, dpmpp-2m, dpmpp-2m-sde or unipc";
            return Err(usage(format!("--sampler {other}: expected {known}")));
        }
    })
}

/// The rule of a text such as "dynamic:0.9"; `default` without one.
pub fn clip(text: Option<&str>, default: Clip) -> Result<Clip> {
    let Some(text) = text else { return Ok(default) };
    let wrong = || usage(format!("--clip {text}: none, static[:LIMIT above 0] or dynamic[:RATIO 0 to 1]"));
    let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
    let number = number.map(str::parse::<f64>).transpose().map_err(|_| wrong())?;
    match (name, number) {
        ("none", None) => Ok(Clip::No),
        ("static", limit) if limit.is_none_or(|limit| limit > 0.0 && limit.is_finite()) => {
            Ok(Clip::Static { limit: limit.unwrap_or(1.0) })
        }
        ("dynamic", ratio) if ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)) => {
            Ok(Clip::Dynamic { ratio: ratio.unwrap_or(0.995), max: f64::MAX })
        }
        _ => Err(wrong()),
    }
}

/// A line about the settings, for people.
pub fn summary(drawing: &Drawing, solver: &str) -> String {
    let mut parts = Vec::new();
    if let [weight] = drawing.guidance[..] {
        parts.push(format!("w {weight}"));
    }
    parts.push(drawing.sampler.clone().unwrap_or_else(|| solver.into()));
    parts.push(format!("{} steps", drawing.steps.unwrap_or(STEPS)));
    parts.extend(drawing.spacing.clone());
    parts.extend(drawing.interval.as_ref().map(|interval| format!("interval {interval}")));
    parts.extend(drawing.rule.clone().filter(|rule| rule != "plain"));
    parts.extend(drawing.history.as_ref().filter(|h| *h != "0").map(|h| format!("history {h}")));
    let schedule = drawing.guidance_schedule.as_ref().filter(|schedule| *schedule != "constant");
    parts.extend(schedule.map(|schedule| format!("{schedule} schedule")));
    if drawing.rescale != 0.0 {
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
