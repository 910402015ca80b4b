//! The flags that decide what `sample` draws.

use crate::exit::usage;
use crate::selection;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// All that an image depends on besides the model: what a PNG carries, and what a sweep varies.
#[derive(Debug, Clone, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drawing {
    /// A run, a checkpoint, or any model folder of diffusers' UNet2DModel
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    pub run: String,
    /// Draws as this preset of `train` does, whatever the run says: digits, digits-long or original;
    /// the flags below beat it
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Classes by name or number, or all; mixtures such as 3:0.5+8:0.5; @3 is class number 3 even where
    /// another is called 3
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub class: String,
    /// One image of each class for each seed
    #[arg(long, value_name = "LIST", default_value = "0-7")]
    pub seeds: String,
    /// w of classifier-free guidance: 1 is no guidance, 0 unconditional, more is closer to the
    /// class and less varied (Ho & Salimans' w is this minus 1); several, such as 1,2,4, give a row
    /// for each of every class [default: the run's, or 2; 0.6 with --cfg-plus-plus; 1 where
    /// there is no null label]
    #[arg(long, value_name = "W", value_delimiter = ',', allow_negative_numbers = true)]
    pub guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine (both from 1, with --cfg-plus-plus from
    /// 0), or a list with one for each step, with heun for each interval [default: the run's, or
    /// constant]
    #[arg(long, value_name = "RULE", allow_hyphen_values = true)]
    pub guidance_schedule: Option<String>,
    /// Noise that is guided, as levels σ such as 0.2:5 or as timesteps such as 100t:800t; outside the
    /// network is asked once, not twice [default: the run's, or everywhere]
    #[arg(long, value_name = "LOW:HIGH|all")]
    pub interval: Option<String>,
    /// Brings the guided prediction's deviation, as v, back to the conditional one's, 0 (not) to 1 (Lin
    /// et al. 2023)
    #[arg(long, value_name = "PHI", default_value_t = 0.0)]
    pub rescale: f64,
    /// Another rule of guidance: plain, zero-star (Fan et al. 2025), or apg or apg:ETA:NORM:MOMENTUM,
    /// the projected guidance of Sadat et al. 2024 [default: the run's, or plain]
    #[arg(long, value_name = "RULE")]
    pub rule: Option<String>,
    /// Leads each step on by how it differs from the one before, 0 (not) or more, within noise levels
    /// of 0.5:3 unless others are given (after Sadat et al. 2025); it counts at every --guidance, also at
    /// 1 [default: the run's, or 0]
    #[arg(long, value_name = "WEIGHT[:LOW:HIGH]")]
    #[serde(default = "no_history")]
    pub history: Option<String>,
    /// Puts back the null prediction's noise, as CFG++ does; W is then its λ, 0 to 1 (Chung et al.
    /// 2024)
    #[arg(long)]
    pub cfg_plus_plus: bool,
    /// A class to be led away from, instead of the null label
    #[arg(long, value_name = "CLASS")]
    pub negative: Option<String>,
    /// Leads away from classes drawn at random, for models that know no null label (independent
    /// condition guidance, Sadat et al. 2024b)
    #[arg(long, conflicts_with_all = ["negative", "guide_with"])]
    pub independent_condition: bool,
    /// Leads away from another, weaker model: an earlier checkpoint of the run, such as step-004000, or
    /// any model folder (autoguidance, Karras et al. 2024)
    #[arg(long, value_name = "STEP|DIR")]
    pub guide_with: Option<String>,
    /// The model of --guide-with draws without the class
    #[arg(long, requires = "guide_with")]
    pub guide_null: bool,
    /// Network evaluations of each image, guidance's two passes counted as one [default: the run's, or
    /// 25]
    #[arg(long)]
    pub steps: Option<usize>,
    /// How an image gets from one timestep to the next: ddim, ddpm, euler, heun, dpmpp-2m,
    /// dpmpp-2m-sde or unipc [default: the run's, or what the model's scheduler says]
    #[arg(long)]
    pub sampler: Option<String>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: what the model's scheduler says]
    #[arg(long)]
    pub spacing: Option<String>,
    /// Noise that DDIM adds on the way, 0 (none) to 1 (as much as DDPM) [default: the run's, or 0]
    #[arg(long)]
    pub eta: Option<f64>,
    /// What is done to x̂_0 in each step: none, static or static:LIMIT, or dynamic or dynamic:RATIO,
    /// Saharia et al. 2022's thresholding [default: the run's, or what the model's scheduler says]
    #[arg(long, value_name = "RULE")]
    pub clip: Option<String>,
    /// Starting noise from a file instead of seeds: tensors `noise` (n, C, H, W) f32 and, for a model
    /// with classes, `labels` (n) i64; `seeds` (n) i64, if there, of the noise that is added on the way
    #[arg(long, value_name = "FILE", conflicts_with_all = ["class", "seeds", "image", "interpolate"])]
    pub noise: Option<PathBuf>,
    /// Begins with this picture, PNG or JPEG, under noise; see --strength, --mask and --invert
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// How much of the way from noise is gone again with --image, above 0 to 1: the last step alone
    /// where it is small, all where it is 1 [default: 0.6, or 1 with --mask]
    #[arg(long, value_name = "SHARE", requires = "image")]
    pub strength: Option<f64>,
    /// Draws anew only where this picture is white
    #[arg(long, value_name = "FILE", requires = "image")]
    pub mask: Option<PathBuf>,
    /// Begins with the noise of which DDIM makes --image, looked for with so many evaluations a step;
    /// one column, without seeds
    #[arg(long, value_name = "EVALUATIONS", requires = "image", conflicts_with_all = ["strength", "mask", "interpolate"])]
    pub invert: Option<usize>,
    /// The class that --invert sees in the image [default: none, the null label]
    #[arg(long, value_name = "CLASS", requires = "invert")]
    pub invert_class: Option<String>,
    /// So many images between the two seeds, or the two classes, that are named: seeds:N or classes:N
    #[arg(long, value_name = "WHAT:N", conflicts_with = "image")]
    pub interpolate: Option<String>,
    /// Size of a pixel in grids and animations
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub scale: u8,
    /// Leaves the names of rows and columns out of grids
    #[arg(long)]
    pub no_captions: bool,
}

/// A picture that says nothing of it was drawn before there was any.
fn no_history() -> Option<String> {
    Some("0".into())
}

impl Default for Drawing {
    /// What the command line has where no flag is given.
    fn default() -> Self {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("sample").no_binary_name(true));
        let matches = command.get_matches_from::<_, &str>([]);
        <Self as clap::FromArgMatches>::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// More weights of guidance are no picture that a person looks at.
const MOST_WEIGHTS: usize = 1000;

impl Drawing {
    /// As the model draws where nobody asks otherwise: seeds of each class, or of its first `most`.
    pub fn of_first_classes(classes: &[String], most: usize, seeds: &str) -> Self {
        let class = match classes.len() > most {
            true => (0..most).map(|class| selection::asked(class, classes)).collect::<Vec<_>>().join(","),
            false => "all".into(),
        };
        Self { class, seeds: seeds.into(), ..Self::default() }
    }

    /// Refuses more weights of guidance than are drawn at once.
    pub fn check_weights(&self) -> Result<()> {
        match self.guidance.len() {
            0..=MOST_WEIGHTS => Ok(()),
            count => {
                Err(usage(format!("--guidance: {count} weights: at most {MOST_WEIGHTS} are drawn at once")))
            }
        }
    }

    /// Holds values that no command line gave to what the command line takes: those of a picture's
    /// note or of a sweep.
    pub fn check(&self) -> Result<()> {
        self.check_weights()?;
        let (own, default) = (keys(self)?, keys(&Self::default())?);
        let flags = own.iter().filter(|(key, value)| default.get(*key) != Some(value));
        let flags = flags.filter_map(|(key, value)| flag(key, value));
        let command = <Self as clap::Args>::augment_args(clap::Command::new("sample").no_binary_name(true));
        match command.try_get_matches_from(flags) {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = error.to_string();
                let cause = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
                Err(usage(cause.split_whitespace().collect::<Vec<_>>().join(" ")))
            }
        }
    }
}

fn keys(drawing: &Drawing) -> Result<Map<String, Value>> {
    Ok(serde_json::from_value(serde_json::to_value(drawing)?)?)
}

/// A key of the JSON form as a flag; none where it says nothing.
fn flag(key: &str, value: &Value) -> Option<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(format!("--{key}")),
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => {
            Some(format!("--{key}={}", values.iter().map(word).collect::<Vec<_>>().join(",")))
        }
        value => Some(format!("--{key}={}", word(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::Drawing;

    #[test]
    fn values_that_no_flag_takes_are_refused_wherever_they_come_from() {
        let refused = |drawing: Drawing| drawing.check().unwrap_err().to_string();
        assert!(Drawing::default().check().is_ok());
        assert!(
            refused(Drawing { guidance: vec![1.0; 1001], ..Drawing::default() }).contains("at most 1000")
        );
        assert!(refused(Drawing { scale: 255, ..Drawing::default() }).contains("255"));
        assert!(refused(Drawing { strength: Some(0.5), ..Drawing::default() }).contains("--image"));
        let several = Drawing {
            guidance: vec![-1.0, 2.5],
            guidance_schedule: Some("-1,2".into()),
            history: Some("0".into()),
            cfg_plus_plus: true,
            run: "-x y".into(),
            image: Some("a b.png".into()),
            strength: Some(1e-7),
            steps: Some(9),
            ..Drawing::default()
        };
        several.check().unwrap();
    }

    #[test]
    fn a_picture_that_says_nothing_of_history_was_drawn_without() {
        let mut note = serde_json::to_value(Drawing::default()).unwrap();
        note.as_object_mut().unwrap().remove("history");
        let drawing: Drawing = serde_json::from_value(note).unwrap();
        assert_eq!(drawing, Drawing { history: Some("0".into()), ..Drawing::default() });
    }
}
