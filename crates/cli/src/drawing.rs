//! The flags that decide what is drawn.

use crate::exit::usage;
use anyhow::Result;
use duet_diffusion::sample::Seeds;
use duet_diffusion::{ClassList, Drawing};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// All that an image depends on besides the model.
#[derive(Debug, Clone, clap::Args)]
pub struct DrawingArgs {
    /// A run (its newest checkpoint), RUN/best (its newest from before it copied training images, where
    /// --eval-every measured that), a checkpoint, or any model folder of diffusers' UNet2DModel
    #[arg(help_heading = "What is drawn", long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Draw with the sampling settings of this preset of `train`, instead of the run's: digits,
    /// digits-long, original or colour. The other flags override it
    #[arg(help_heading = "What is drawn", long, value_name = "NAME")]
    preset: Option<String>,
    /// Classes by name or number, or all. 3:0.5+8:0.5 is a mixture. @3 is always class number 3, even
    /// where another class is named 3
    #[arg(help_heading = "What is drawn", long, value_name = "LIST", default_value = "all")]
    class: ClassList,
    /// Seeds, such as 0-7,100. Each class gets one image for each seed [default: 0-7]
    #[arg(help_heading = "What is drawn", long, value_name = "LIST")]
    seeds: Option<String>,
    /// The weight w of classifier-free guidance. 0 ignores the class, 1 is no guidance, and a larger w
    /// follows the class more closely with less variety. (Ho & Salimans' w is this minus 1.) Several
    /// weights, such as 1,2,4, give a row for each of every class [default: the run's, or 2; 0.6 with
    /// --cfg-plus-plus; 1 if the model has no null label]
    #[arg(
        help_heading = "Guidance",
        long,
        value_name = "W",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine, or a list with one weight for each step
    /// (for each interval with heun). linear and cosine start at 1, with --cfg-plus-plus at 0 [default:
    /// the run's, or constant]
    #[arg(help_heading = "Guidance", long, value_name = "RULE", allow_hyphen_values = true)]
    guidance_schedule: Option<String>,
    /// The noise levels that are guided: levels σ such as 0.2:5, or timesteps such as 100t:800t. At
    /// other levels the network runs once, not twice [default: the run's, or all]
    #[arg(help_heading = "Guidance", long, value_name = "LOW:HIGH|all")]
    interval: Option<String>,
    /// Bring the standard deviation of the guided prediction (as v) back to that of the conditional
    /// one: 0 not at all, 1 fully (Lin et al. 2023)
    #[arg(help_heading = "Guidance", long, value_name = "PHI", default_value = "0")]
    rescale: String,
    /// The rule of guidance: plain, zero-star (CFG-Zero*, Fan et al. 2025), or apg or
    /// apg:ETA:NORM:MOMENTUM (adaptive projected guidance, Sadat et al. 2024) [default: the run's, or
    /// plain]
    #[arg(help_heading = "Guidance", long, value_name = "RULE")]
    rule: Option<String>,
    /// Extrapolate each step from the previous one with this weight, 0 or more, at noise levels LOW to
    /// HIGH, 0.5 to 3 if none are given (after Sadat et al. 2025). It works at every --guidance, also
    /// at 1 [default: the run's, or 0]
    #[arg(help_heading = "Guidance", long, value_name = "WEIGHT[:LOW:HIGH]")]
    history: Option<String>,
    /// CFG++ (Chung et al. 2024): each step adds the noise of the null prediction. --guidance is then
    /// its λ, 0 to 1
    #[arg(help_heading = "Guidance", long)]
    cfg_plus_plus: bool,
    /// Guide away from this class instead of the null label
    #[arg(help_heading = "Guidance", long, value_name = "CLASS")]
    negative: Option<ClassList>,
    /// Guide away from classes drawn at random, for models without a null label (independent condition
    /// guidance, Sadat et al. 2024b)
    #[arg(help_heading = "Guidance", long, conflicts_with_all = ["negative", "guide_with"])]
    independent_condition: bool,
    /// Guide away from another, weaker model (autoguidance, Karras et al. 2024): an earlier checkpoint
    /// of the run, such as step-004000, or any model folder
    #[arg(help_heading = "Guidance", long, value_name = "STEP|DIR")]
    guide_with: Option<String>,
    /// The model of --guide-with predicts without the class
    #[arg(help_heading = "Guidance", long, requires = "guide_with")]
    guide_null: bool,
    /// Network evaluations of each image; the two passes of guidance count as one [default: the run's,
    /// or 25]
    #[arg(help_heading = "Steps", long)]
    steps: Option<usize>,
    /// The sampler: ddim, ddpm, euler, heun, dpmpp-2m, dpmpp-2m-sde or unipc [default: the run's, or
    /// that of the model's scheduler]
    #[arg(help_heading = "Steps", long)]
    sampler: Option<String>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: that of the model's scheduler]
    #[arg(help_heading = "Steps", long)]
    spacing: Option<String>,
    /// The noise that DDIM adds in each step, from 0 (none) to 1 (as much as DDPM) [default: the run's,
    /// or 0]
    #[arg(help_heading = "Steps", long)]
    eta: Option<f64>,
    /// How the predicted image x̂_0 is clipped in each step: none, static or static:LIMIT, dynamic or
    /// dynamic:RATIO (thresholding of Saharia et al. 2022) [default: the run's, or that of the model's
    /// scheduler]
    #[arg(help_heading = "Steps", long, value_name = "RULE")]
    clip: Option<String>,
    /// Start from the noise in this file instead of from seeds: a tensor `noise` (n, C, H, W) f32, for
    /// a model with classes `labels` (n) i64, and if you like `seeds` (n) i64 for the noise that is
    /// added on the way
    #[arg(help_heading = "Start", long, value_name = "FILE", conflicts_with_all = ["class", "seeds", "image", "interpolate"])]
    noise: Option<PathBuf>,
    /// Start from this picture (PNG, JPEG, WebP, GIF, BMP or TIFF) under noise; see --strength, --mask and
    /// --invert
    #[arg(help_heading = "Start", long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How much of the way from noise is drawn again with --image, above 0 to 1. A small share changes
    /// only details, 1 draws all anew [default: 0.6, or 1 with --mask]
    #[arg(help_heading = "Start", long, value_name = "SHARE", requires = "image")]
    strength: Option<String>,
    /// Draw anew only where this picture is white
    #[arg(help_heading = "Start", long, value_name = "FILE", requires = "image")]
    mask: Option<PathBuf>,
    /// Start from the noise that DDIM turns into --image. Each step looks for it with this many
    /// evaluations. The grid has one column, and --seeds does not count
    #[arg(help_heading = "Start", long, value_name = "EVALUATIONS", requires = "image", conflicts_with_all = ["strength", "mask", "interpolate"])]
    invert: Option<usize>,
    /// The class of the image for --invert [default: none, the null label]
    #[arg(help_heading = "Start", long, value_name = "CLASS", requires = "invert")]
    invert_class: Option<ClassList>,
    /// Draw N images between the two seeds or the two classes that are named: seeds:N or classes:N
    #[arg(help_heading = "What is drawn", long, value_name = "WHAT:N", conflicts_with = "image")]
    interpolate: Option<String>,
    /// Size of a pixel in grids and animations
    #[arg(help_heading = "Output", long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    scale: u8,
    /// Leave out the names of rows and columns
    #[arg(help_heading = "Output", long)]
    no_captions: bool,
}

impl DrawingArgs {
    /// The seeds, where they are given.
    pub fn seeds(&self) -> Result<Option<Seeds>> {
        read("seeds", self.seeds.clone())
    }

    /// What is drawn.
    pub fn drawing(self) -> Result<Drawing> {
        Ok(Drawing {
            run: self.run,
            preset: self.preset,
            class: self.class,
            seeds: read("seeds", self.seeds)?.unwrap_or(Drawing::default().seeds),
            guidance: self.guidance,
            guidance_schedule: read("guidance-schedule", self.guidance_schedule)?,
            interval: read("interval", self.interval)?,
            rescale: of("rescale", &self.rescale)?,
            rule: read("rule", self.rule)?,
            history: read("history", self.history)?,
            cfg_plus_plus: self.cfg_plus_plus,
            negative: self.negative,
            independent_condition: self.independent_condition,
            guide_with: self.guide_with,
            guide_null: self.guide_null,
            steps: self.steps,
            sampler: read("sampler", self.sampler)?,
            spacing: read("spacing", self.spacing)?,
            eta: self.eta,
            clip: read("clip", self.clip)?,
            noise: self.noise,
            image: self.image,
            strength: read("strength", self.strength)?,
            mask: self.mask,
            invert: self.invert,
            invert_class: self.invert_class,
            interpolate: read("interpolate", self.interpolate)?,
            scale: self.scale,
            no_captions: self.no_captions,
        })
    }
}

/// The value of a flag's text.
fn of<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error| usage(format!("--{flag} {error}")))
}

/// The same of a flag that may not be given.
fn read<T: FromStr<Err: Display>>(flag: &str, text: Option<String>) -> Result<Option<T>> {
    text.map(|text| of(flag, &text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};
    use duet_diffusion::{EXCLUDES, NEEDS};

    fn command() -> Command {
        DrawingArgs::augment_args(Command::new("sample").no_binary_name(true))
    }

    #[test]
    fn no_flag_at_all_is_the_default_of_the_library() {
        let matches = command().get_matches_from::<_, &str>([]);
        let args = DrawingArgs::from_arg_matches(&matches).unwrap();
        assert_eq!(args.drawing().unwrap(), Drawing::default());
    }

    /// The command line refuses what the library refuses.
    #[test]
    fn flags_that_do_not_go_together_are_those_of_the_library() {
        let value = |name: &str| match name {
            "guide-null" | "independent-condition" => vec![format!("--{name}")],
            "strength" | "invert" => vec![format!("--{name}=1")],
            _ => vec![format!("--{name}=x")],
        };
        let refused = |words: Vec<String>| command().try_get_matches_from(words).is_err();
        for (name, needed) in NEEDS {
            assert!(refused(value(name)), "--{name} without --{needed}");
        }
        for (name, other) in
            EXCLUDES.iter().flat_map(|(name, others)| others.iter().map(move |o| (*name, *o)))
        {
            let mut words = [value(name), value(other)].concat();
            for (one, needed) in NEEDS {
                if one == name || one == other {
                    words.extend(value(needed));
                }
            }
            assert!(refused(words.clone()), "{words:?}");
        }
    }

    /// What the library prints as flags is what the command line reads.
    #[test]
    fn the_flags_of_a_drawing_are_read_back_as_the_drawing() {
        let base = serde_json::json!({});
        let values = serde_json::json!({
            "run": "-x y", "preset": "original", "class": "3:0.5+8:0.5", "seeds": "0-2,9", "guidance": [-1.0, 2.5],
            "guidance-schedule": "-1,2", "interval": "0.3:5", "rescale": 0.7, "rule": "apg:0.5", "history": "0.5:0.3:5",
            "cfg-plus-plus": true, "negative": "-1", "independent-condition": true, "guide-with": "step-000050",
            "guide-null": true, "steps": 9, "sampler": "dpmpp-2m-sde", "spacing": "999,500,100", "eta": 1e-7,
            "clip": "dynamic:0.9", "noise": "a b.safetensors", "image": "it's.png", "strength": 1e-7, "mask": "m.png",
            "invert": 3, "invert-class": "2", "interpolate": "seeds:5", "scale": 7, "no-captions": true,
        });
        let of = |value: serde_json::Value| -> Drawing {
            let mut all = serde_json::to_value(Drawing::default()).unwrap();
            all.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            serde_json::from_value(all).unwrap()
        };
        let read = |drawing: &Drawing| {
            let words = drawing.flags().unwrap();
            let matches =
                command().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            DrawingArgs::from_arg_matches(&matches).unwrap().drawing().unwrap()
        };
        assert_eq!(of(base).flags().unwrap(), Vec::<String>::new());
        for (key, value) in values.as_object().unwrap() {
            let mut alone = serde_json::json!({});
            alone[key] = value.clone();
            for (one, needed) in NEEDS.iter().rev() {
                if alone.get(one).is_some() {
                    alone[*needed] = values[*needed].clone();
                }
            }
            let drawing = of(alone);
            assert_ne!(drawing, Drawing::default(), "{key}");
            assert_eq!(read(&drawing), drawing, "{key}");
        }
    }
}
