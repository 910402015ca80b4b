//! The options of sampling that are given as words.

use crate::error::{Result, Within, option, setting};
use duet_sample::{Apg, History, Interval, Rule, WeightSchedule};
use duet_schedule::{
    Clip, DpmAlgorithm, DpmSolver, NoiseSchedule, SecondOrder, Solver, ThirdOrder, UniPc, UniPcVariant,
    Variance,
};

/// Noise levels within which a step is led on, where only how far is said.
const HISTORY: (f64, f64) = (0.5, 3.0);

pub fn schedule(text: Option<&str>) -> Result<WeightSchedule> {
    let text = text.unwrap_or("constant");
    Ok(match text {
        "constant" => WeightSchedule::Constant,
        "linear" => WeightSchedule::Linear,
        "cosine" => WeightSchedule::Cosine,
        list => {
            let weights: Result<Vec<f64>, _> = list.split(',').map(|weight| weight.trim().parse()).collect();
            WeightSchedule::List(weights.map_err(|_| {
                option(
                    "guidance-schedule",
                    format!(" {text}: constant, linear, cosine, or a number for each step"),
                )
            })?)
        }
    })
}

/// The same for so many steps, which a list must have.
pub fn schedule_for(text: Option<&str>, steps: usize) -> Result<WeightSchedule> {
    match schedule(text)? {
        WeightSchedule::List(weights) if weights.len() != steps => Err(setting(format!(
            "guidance_schedule: {} weights for {steps} steps; one for each is needed",
            weights.len()
        ))),
        schedule => Ok(schedule),
    }
}

/// The interval of a text such as "0.3:5" or "100t:800t"; everywhere without one.
pub fn interval(text: Option<&str>, noise: &NoiseSchedule) -> Result<Interval> {
    let Some(text) = text.filter(|text| *text != "all") else { return Ok(Interval::default()) };
    let wrong =
        || option("interval", format!(" {text}: two noise levels such as 0.2:5, or timesteps 100t:800t"));
    let (low, high) = text.split_once(':').ok_or_else(wrong)?;
    let interval = match (low.strip_suffix('t'), high.strip_suffix('t')) {
        (Some(low), Some(high)) => Interval::of_timesteps(
            low.parse().map_err(|_| wrong())?,
            high.parse().map_err(|_| wrong())?,
            noise,
        ),
        _ => Interval::new(low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?),
    };
    interval.in_option("interval")
}

/// The history of a text such as "0.5" or "0.5:0.3:3"; none without one.
pub fn history(text: Option<&str>) -> Result<History> {
    let Some(text) = text else { return Ok(History::default()) };
    let wrong = || {
        option(
            "history",
            format!(" {text}: WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more, LOW and HIGH noise levels"),
        )
    };
    let numbers: Result<Vec<f64>, _> = text.split(':').map(str::parse).collect();
    let (weight, (low, high)) = match numbers.map_err(|_| wrong())?[..] {
        [weight] => (weight, HISTORY),
        [weight, low, high] => (weight, (low, high)),
        _ => return Err(wrong()),
    };
    History::new(weight, Interval::new(low, high).in_option("history")?).in_option("history")
}

/// The rule of a text such as "apg:0:2"; plain without one.
pub fn rule(text: Option<&str>) -> Result<Rule> {
    let Some(text) = text else { return Ok(Rule::Plain) };
    let wrong = || {
        option(
            "rule",
            format!(
                " {text}: plain, zero-star, apg or apg:ETA[:NORM[:MOMENTUM]] with ETA 0 to 1, NORM above 0 and \
             MOMENTUM -1 to 1"
            ),
        )
    };
    let (name, numbers) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    Ok(match (name, numbers) {
        ("plain", None) => Rule::Plain,
        ("zero-star", None) => Rule::ZeroStar,
        ("apg", None) => Rule::Adaptive(Apg::PAPER),
        ("apg", Some(numbers)) => {
            let numbers: Result<Vec<f64>, _> = numbers.split(':').map(str::parse).collect();
            let numbers = numbers.map_err(|_| wrong())?;
            let of = |i: usize, default: f64| numbers.get(i).copied().unwrap_or(default);
            let Apg { eta, norm, momentum } = Apg::PAPER;
            let apg = Apg { eta: of(0, eta), norm: of(1, norm), momentum: of(2, momentum) };
            let within = (0.0..=1.0).contains(&apg.eta) && apg.norm > 0.0;
            if numbers.len() > 3 || !within || !(-1.0..=1.0).contains(&apg.momentum) {
                return Err(wrong());
            }
            Rule::Adaptive(apg)
        }
        _ => return Err(wrong()),
    })
}

/// The solver with DDIM's η; 0 without one.
pub fn with_eta(solver: Solver, eta: Option<f64>) -> Result<Solver> {
    let eta = eta.unwrap_or(0.0);
    match solver {
        _ if !(0.0..=1.0).contains(&eta) => Err(option("eta", format!(" {eta}: must be 0 to 1"))),
        Solver::Ddim { .. } => Ok(Solver::Ddim { eta }),
        _ if eta != 0.0 => Err(option("eta", format!(" {eta}: only --sampler ddim has it"))),
        solver => Ok(solver),
    }
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
        Some("ddim") => Solver::Ddim { eta: 0.0 },
        Some("ddpm") => Solver::Ddpm { variance: Variance::Small },
        Some("euler") => Solver::Euler,
        Some("heun") => Solver::Heun,
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
            return Err(option("sampler", format!(" {other}: expected {known}")));
        }
    })
}

/// The rule of a text such as "dynamic:0.9"; `default` without one.
pub fn clip(text: Option<&str>, default: Clip) -> Result<Clip> {
    let Some(text) = text else { return Ok(default) };
    let wrong = || option("clip", format!(" {text}: none, static[:LIMIT above 0] or dynamic[:RATIO 0 to 1]"));
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
