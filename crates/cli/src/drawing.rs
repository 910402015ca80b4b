//! The flags that decide what is drawn.

use duet_diffusion::Drawing;
use std::path::PathBuf;

/// All that an image depends on besides the model.
#[derive(Debug, Clone, clap::Args)]
pub struct DrawingArgs {
    /// A run, a checkpoint, or any model folder of diffusers' UNet2DModel
    #[arg(help_heading = "What is drawn", long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Draws as this preset of `train` does, whatever the run says: digits, digits-long or original;
    /// the flags below beat it
    #[arg(help_heading = "What is drawn", long, value_name = "NAME")]
    preset: Option<String>,
    /// Classes by name or number, or all; mixtures such as 3:0.5+8:0.5; @3 is class number 3 even where
    /// another is called 3
    #[arg(help_heading = "What is drawn", long, value_name = "LIST", default_value = "all")]
    class: String,
    /// One image of each class for each seed
    #[arg(help_heading = "What is drawn", long, value_name = "LIST", default_value = "0-7")]
    seeds: String,
    /// w of classifier-free guidance: 1 is no guidance, 0 unconditional, more is closer to the
    /// class and less varied (Ho & Salimans' w is this minus 1); several, such as 1,2,4, give a row
    /// for each of every class [default: the run's, or 2; 0.6 with --cfg-plus-plus; 1 where
    /// there is no null label]
    #[arg(
        help_heading = "Guidance",
        long,
        value_name = "W",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine (both from 1, with --cfg-plus-plus from
    /// 0), or a list with one for each step, with heun for each interval [default: the run's, or
    /// constant]
    #[arg(help_heading = "Guidance", long, value_name = "RULE", allow_hyphen_values = true)]
    guidance_schedule: Option<String>,
    /// Noise that is guided, as levels σ such as 0.2:5 or as timesteps such as 100t:800t; outside the
    /// network is asked once, not twice [default: the run's, or everywhere]
    #[arg(help_heading = "Guidance", long, value_name = "LOW:HIGH|all")]
    interval: Option<String>,
    /// Brings the guided prediction's deviation, as v, back to the conditional one's, 0 (not) to 1 (Lin
    /// et al. 2023)
    #[arg(help_heading = "Guidance", long, value_name = "PHI", default_value_t = 0.0)]
    rescale: f64,
    /// Another rule of guidance: plain, zero-star (Fan et al. 2025), or apg or apg:ETA:NORM:MOMENTUM,
    /// the projected guidance of Sadat et al. 2024 [default: the run's, or plain]
    #[arg(help_heading = "Guidance", long, value_name = "RULE")]
    rule: Option<String>,
    /// Leads each step on by how it differs from the one before, 0 (not) or more, within noise levels
    /// of 0.5:3 unless others are given (after Sadat et al. 2025); it counts at every --guidance, also at
    /// 1 [default: the run's, or 0]
    #[arg(help_heading = "Guidance", long, value_name = "WEIGHT[:LOW:HIGH]")]
    history: Option<String>,
    /// Puts back the null prediction's noise, as CFG++ does; W is then its λ, 0 to 1 (Chung et al.
    /// 2024)
    #[arg(help_heading = "Guidance", long)]
    cfg_plus_plus: bool,
    /// A class to be led away from, instead of the null label
    #[arg(help_heading = "Guidance", long, value_name = "CLASS")]
    negative: Option<String>,
    /// Leads away from classes drawn at random, for models that know no null label (independent
    /// condition guidance, Sadat et al. 2024b)
    #[arg(help_heading = "Guidance", long, conflicts_with_all = ["negative", "guide_with"])]
    independent_condition: bool,
    /// Leads away from another, weaker model: an earlier checkpoint of the run, such as step-004000, or
    /// any model folder (autoguidance, Karras et al. 2024)
    #[arg(help_heading = "Guidance", long, value_name = "STEP|DIR")]
    guide_with: Option<String>,
    /// The model of --guide-with draws without the class
    #[arg(help_heading = "Guidance", long, requires = "guide_with")]
    guide_null: bool,
    /// Network evaluations of each image, guidance's two passes counted as one [default: the run's, or
    /// 25]
    #[arg(help_heading = "Steps", long)]
    steps: Option<usize>,
    /// How an image gets from one timestep to the next: ddim, ddpm, euler, heun, dpmpp-2m,
    /// dpmpp-2m-sde or unipc [default: the run's, or what the model's scheduler says]
    #[arg(help_heading = "Steps", long)]
    sampler: Option<String>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: what the model's scheduler says]
    #[arg(help_heading = "Steps", long)]
    spacing: Option<String>,
    /// Noise that DDIM adds on the way, 0 (none) to 1 (as much as DDPM) [default: the run's, or 0]
    #[arg(help_heading = "Steps", long)]
    eta: Option<f64>,
    /// What is done to x̂_0 in each step: none, static or static:LIMIT, or dynamic or dynamic:RATIO,
    /// Saharia et al. 2022's thresholding [default: the run's, or what the model's scheduler says]
    #[arg(help_heading = "Steps", long, value_name = "RULE")]
    clip: Option<String>,
    /// Starting noise from a file instead of seeds: tensors `noise` (n, C, H, W) f32 and, for a model
    /// with classes, `labels` (n) i64; `seeds` (n) i64, if there, of the noise that is added on the way
    #[arg(help_heading = "Start", long, value_name = "FILE", conflicts_with_all = ["class", "seeds", "image", "interpolate"])]
    noise: Option<PathBuf>,
    /// Begins with this picture, PNG or JPEG, under noise; see --strength, --mask and --invert
    #[arg(help_heading = "Start", long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How much of the way from noise is gone again with --image, above 0 to 1: the last step alone
    /// where it is small, all where it is 1 [default: 0.6, or 1 with --mask]
    #[arg(help_heading = "Start", long, value_name = "SHARE", requires = "image")]
    strength: Option<f64>,
    /// Draws anew only where this picture is white
    #[arg(help_heading = "Start", long, value_name = "FILE", requires = "image")]
    mask: Option<PathBuf>,
    /// Begins with the noise of which DDIM makes --image, looked for with so many evaluations a step;
    /// one column, without seeds
    #[arg(help_heading = "Start", long, value_name = "EVALUATIONS", requires = "image", conflicts_with_all = ["strength", "mask", "interpolate"])]
    invert: Option<usize>,
    /// The class that --invert sees in the image [default: none, the null label]
    #[arg(help_heading = "Start", long, value_name = "CLASS", requires = "invert")]
    invert_class: Option<String>,
    /// So many images between the two seeds, or the two classes, that are named: seeds:N or classes:N
    #[arg(help_heading = "What is drawn", long, value_name = "WHAT:N", conflicts_with = "image")]
    interpolate: Option<String>,
    /// Size of a pixel in grids and animations
    #[arg(help_heading = "Output", long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    scale: u8,
    /// Leaves the names of rows and columns out of grids
    #[arg(help_heading = "Output", long)]
    no_captions: bool,
}

impl From<DrawingArgs> for Drawing {
    fn from(args: DrawingArgs) -> Self {
        let DrawingArgs {
            run,
            preset,
            class,
            seeds,
            guidance,
            guidance_schedule,
            interval,
            rescale,
            rule,
            history,
            cfg_plus_plus,
            negative,
            independent_condition,
            guide_with,
            guide_null,
            steps,
            sampler,
            spacing,
            eta,
            clip,
            noise,
            image,
            strength,
            mask,
            invert,
            invert_class,
            interpolate,
            scale,
            no_captions,
        } = args;
        Self {
            run,
            preset,
            class,
            seeds,
            guidance,
            guidance_schedule,
            interval,
            rescale,
            rule,
            history,
            cfg_plus_plus,
            negative,
            independent_condition,
            guide_with,
            guide_null,
            steps,
            sampler,
            spacing,
            eta,
            clip,
            noise,
            image,
            strength,
            mask,
            invert,
            invert_class,
            interpolate,
            scale,
            no_captions,
        }
    }
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
        assert_eq!(Drawing::from(DrawingArgs::from_arg_matches(&matches).unwrap()), Drawing::default());
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
}
