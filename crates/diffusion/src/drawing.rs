//! What is drawn: all that an image depends on besides the model.

use crate::choice;
use crate::error::{Result, option};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a PNG carries, and what a sweep varies. Where an option is none, the model's run decides, or else
/// the model's scheduler.
///
/// ```
/// use duet_diffusion::Drawing;
/// let drawing = Drawing { class: "3,7".into(), seeds: "0-3".into(), ..Drawing::default() };
/// assert_eq!(drawing.scale, 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drawing {
    /// `latest`, a run, a checkpoint, or any model folder of diffusers' `UNet2DModel`
    pub run: String,
    /// Draws as this preset of `train` does, whatever the run says: digits, digits-long or original;
    /// the flags below beat it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Classes by name or number, or all; mixtures such as 3:0.5+8:0.5; @3 is class number 3 even where
    /// another is called 3
    pub class: String,
    /// One image of each class for each seed
    pub seeds: String,
    /// w of classifier-free guidance: 1 is no guidance, 0 unconditional, more is closer to the
    /// class and less varied (Ho & Salimans' w is this minus 1); several, such as 1,2,4, give a row
    /// for each of every class [default: the run's, or 2; 0.6 with --cfg-plus-plus; 1 where
    /// there is no null label]
    pub guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine (both from 1, with --cfg-plus-plus from
    /// 0), or a list with one for each step, with heun for each interval [default: the run's, or
    /// constant]
    pub guidance_schedule: Option<String>,
    /// Noise that is guided, as levels σ such as 0.2:5 or as timesteps such as 100t:800t; outside the
    /// network is asked once, not twice [default: the run's, or everywhere]
    pub interval: Option<String>,
    /// Brings the guided prediction's deviation, as v, back to the conditional one's, 0 (not) to 1 (Lin
    /// et al. 2023)
    pub rescale: f64,
    /// Another rule of guidance: plain, zero-star (Fan et al. 2025), or apg or apg:ETA:NORM:MOMENTUM,
    /// the projected guidance of Sadat et al. 2024 [default: the run's, or plain]
    pub rule: Option<String>,
    /// Leads each step on by how it differs from the one before, 0 (not) or more, within noise levels
    /// of 0.5:3 unless others are given (after Sadat et al. 2025); it counts at every --guidance, also at
    /// 1 [default: the run's, or 0]
    #[serde(default = "no_history")]
    pub history: Option<String>,
    /// Puts back the null prediction's noise, as CFG++ does; W is then its λ, 0 to 1 (Chung et al.
    /// 2024)
    pub cfg_plus_plus: bool,
    /// A class to be led away from, instead of the null label
    pub negative: Option<String>,
    /// Leads away from classes drawn at random, for models that know no null label (independent
    /// condition guidance, Sadat et al. 2024b)
    pub independent_condition: bool,
    /// Leads away from another, weaker model: an earlier checkpoint of the run, such as step-004000, or
    /// any model folder (autoguidance, Karras et al. 2024)
    pub guide_with: Option<String>,
    /// The model of --guide-with draws without the class
    pub guide_null: bool,
    /// Network evaluations of each image, guidance's two passes counted as one [default: the run's, or
    /// 25]
    pub steps: Option<usize>,
    /// How an image gets from one timestep to the next: ddim, ddpm, euler, heun, dpmpp-2m,
    /// dpmpp-2m-sde or unipc [default: the run's, or what the model's scheduler says]
    pub sampler: Option<String>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: what the model's scheduler says]
    pub spacing: Option<String>,
    /// Noise that DDIM adds on the way, 0 (none) to 1 (as much as DDPM) [default: the run's, or 0]
    pub eta: Option<f64>,
    /// What is done to x̂_0 in each step: none, static or static:LIMIT, or dynamic or dynamic:RATIO,
    /// Saharia et al. 2022's thresholding [default: the run's, or what the model's scheduler says]
    pub clip: Option<String>,
    /// Starting noise from a file instead of seeds: tensors `noise` (n, C, H, W) f32 and, for a model
    /// with classes, `labels` (n) i64; `seeds` (n) i64, if there, of the noise that is added on the way
    pub noise: Option<PathBuf>,
    /// Begins with this picture, PNG or JPEG, under noise; see --strength, --mask and --invert
    pub image: Option<PathBuf>,
    /// How much of the way from noise is gone again with --image, above 0 to 1: the last step alone
    /// where it is small, all where it is 1 [default: 0.6, or 1 with --mask]
    pub strength: Option<f64>,
    /// Draws anew only where this picture is white
    pub mask: Option<PathBuf>,
    /// Begins with the noise of which DDIM makes --image, looked for with so many evaluations a step;
    /// one column, without seeds
    pub invert: Option<usize>,
    /// The class that --invert sees in the image [default: none, the null label]
    pub invert_class: Option<String>,
    /// So many images between the two seeds, or the two classes, that are named: seeds:N or classes:N
    pub interpolate: Option<String>,
    /// Size of a pixel in grids and animations
    pub scale: u8,
    /// Leaves the names of rows and columns out of grids
    pub no_captions: bool,
}

/// A picture without this key is older than history guidance: off.
fn no_history() -> Option<String> {
    Some("0".into())
}

/// More weights of guidance are no picture that a person looks at.
const MOST_WEIGHTS: usize = 1000;
/// Sizes of a pixel in grids.
const SCALES: std::ops::RangeInclusive<u8> = 1..=32;

impl Default for Drawing {
    /// Seeds 0 to 7 of every class with the newest run, as that run draws.
    fn default() -> Self {
        Self {
            run: "latest".into(),
            preset: None,
            class: "all".into(),
            seeds: "0-7".into(),
            guidance: Vec::new(),
            guidance_schedule: None,
            interval: None,
            rescale: 0.0,
            rule: None,
            history: None,
            cfg_plus_plus: false,
            negative: None,
            independent_condition: false,
            guide_with: None,
            guide_null: false,
            steps: None,
            sampler: None,
            spacing: None,
            eta: None,
            clip: None,
            noise: None,
            image: None,
            strength: None,
            mask: None,
            invert: None,
            invert_class: None,
            interpolate: None,
            scale: 2,
            no_captions: false,
        }
    }
}

impl Drawing {
    /// As the model draws where nobody asks otherwise: seeds of each class, or of its first `most`.
    pub fn of_first_classes(classes: &[String], most: usize, seeds: &str) -> Self {
        let first: Vec<u32> = (0..classes.len().min(most) as u32).collect();
        Self { class: choice::list(&first, classes), seeds: seeds.into(), ..Self::default() }
    }

    /// The same settings for so many seeds of each of these classes.
    pub fn of_classes(&self, labels: &[u32], names: &[String], each: usize) -> Self {
        let class = choice::list(labels, names);
        Self { class, seeds: format!("0-{}", each.max(1) - 1), ..self.clone() }
    }

    /// Refuses what does not go together, and what is out of its range whatever the model.
    ///
    /// # Errors
    /// [`crate::Error::Option`], which names the option.
    pub fn check(&self) -> Result<()> {
        if self.guidance.len() > MOST_WEIGHTS {
            let count = self.guidance.len();
            return Err(option(
                "guidance",
                format!(": {count} weights: at most {MOST_WEIGHTS} are drawn at once"),
            ));
        }
        if !SCALES.contains(&self.scale) {
            return Err(option(
                "scale",
                format!(" {}: must be {} to {}", self.scale, SCALES.start(), SCALES.end()),
            ));
        }
        let usual = Self::default();
        let given = [
            ("class", self.class != usual.class),
            ("seeds", self.seeds != usual.seeds),
            ("negative", self.negative.is_some()),
            ("independent-condition", self.independent_condition),
            ("guide-with", self.guide_with.is_some()),
            ("guide-null", self.guide_null),
            ("noise", self.noise.is_some()),
            ("image", self.image.is_some()),
            ("strength", self.strength.is_some()),
            ("mask", self.mask.is_some()),
            ("invert", self.invert.is_some()),
            ("invert-class", self.invert_class.is_some()),
            ("interpolate", self.interpolate.is_some()),
        ];
        let is_given = |name: &str| given.iter().any(|(other, given)| *other == name && *given);
        for (name, needed) in NEEDS {
            if is_given(name) && !is_given(needed) {
                return Err(option(name, format!(": goes with --{needed} alone")));
            }
        }
        for (name, others) in EXCLUDES {
            if let Some(other) = others.iter().find(|other| is_given(name) && is_given(other)) {
                return Err(option(name, format!(": does not go together with --{other}")));
            }
        }
        Ok(())
    }
}

/// Options that mean nothing without another.
pub const NEEDS: [(&str, &str); 5] = [
    ("guide-null", "guide-with"),
    ("strength", "image"),
    ("mask", "image"),
    ("invert", "image"),
    ("invert-class", "invert"),
];

/// Options that leave no meaning to others.
pub const EXCLUDES: [(&str, &[&str]); 4] = [
    ("independent-condition", &["negative", "guide-with"]),
    ("noise", &["class", "seeds", "image", "interpolate"]),
    ("invert", &["strength", "mask", "interpolate"]),
    ("interpolate", &["image"]),
];

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
        assert!(
            refused(Drawing { noise: Some("x".into()), seeds: "1".into(), ..Drawing::default() })
                .contains("--seeds")
        );
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
