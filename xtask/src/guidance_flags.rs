//! The flags of `sample` that say how to guide.

use crate::exit::usage;
use crate::model_folder::Model;
use crate::sample::Args;
use crate::selection;
use anyhow::{Context, Result};
use duet_sample::{Apg, Guidance, Interval, Renoise, Rule, WeightSchedule};

/// Guidance as the flags ask for it; none for a model without classes.
pub fn guidance(args: &Args, model: &Model) -> Result<Guidance> {
    if model.loaded.unet.config().num_class_embeds.is_none() {
        return Ok(Guidance::new(1.0, None));
    }
    let null_label = match &args.negative {
        Some(class) => match selection::classes(class, &model.classes)?[..] {
            [label] => Some(label),
            _ => return Err(usage(format!("--negative {class}: one class is needed"))),
        },
        None => model.null_label,
    };
    let Some(&weight) = args.guidance.first() else {
        return Err(usage("--guidance: at least one number is needed"));
    };
    let interval = args.interval.as_deref().map_or(Ok(Interval::default()), interval)?;
    let guidance = Guidance::new(weight, null_label)
        .with_schedule(schedule(&args.guidance_schedule)?)
        .with_interval(interval)
        .with_rule(rule(&args.rule)?)
        .with_rescale(args.rescale)
        .context("--rescale")?;
    if !args.cfg_plus_plus {
        return Ok(guidance);
    }
    if let Some(weight) = args.guidance.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
        return Err(usage(format!("--guidance {weight}: with --cfg-plus-plus it is 0 to 1")));
    }
    Ok(guidance.with_renoise(Renoise::Null))
}

fn schedule(text: &str) -> Result<WeightSchedule> {
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

fn interval(text: &str) -> Result<Interval> {
    let wrong = || usage(format!("--interval {text}: two noise levels such as 0.2:5"));
    let (low, high) = text.split_once(':').ok_or_else(wrong)?;
    let (low, high) = (low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
    Interval::new(low, high).context("--interval")
}

fn rule(text: &str) -> Result<Rule> {
    let wrong = || usage(format!("--rule {text}: plain, zero-star, apg or apg:ETA with ETA 0 to 1"));
    Ok(match text.split_once(':').unwrap_or((text, "")) {
        ("plain", "") => Rule::Plain,
        ("zero-star", "") => Rule::ZeroStar,
        ("apg", "") => Rule::Adaptive(Apg::PAPER),
        ("apg", eta) => {
            let eta: f64 = eta.parse().map_err(|_| wrong())?;
            if !(0.0..=1.0).contains(&eta) {
                return Err(wrong());
            }
            Rule::Adaptive(Apg { eta, ..Apg::PAPER })
        }
        _ => return Err(wrong()),
    })
}
