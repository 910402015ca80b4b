//! What is drawn: all that an image depends on besides the model.

use crate::choice::ClassList;
use crate::error::{Error, Result, option};
use duet_sample::{GuidanceInterval, History, Interpolation, Rescale, Rule, Seeds, Strength, WeightSchedule};
use duet_schedule::{Clip, Solver, Spacing};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// What a PNG carries, and what a sweep varies. Where an option is none, the model's run decides, or else
/// the model's scheduler.
///
/// ```
/// use duet_diffusion::Drawing;
/// let drawing = Drawing { class: "3,7".into(), seeds: "0-3".parse()?, ..Drawing::default() };
/// assert_eq!(drawing.seeds.to_vec(), [0, 1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Drawing {
    /// `latest`, a run, a checkpoint, or any model folder of diffusers' `UNet2DModel`.
    pub run: String,
    /// Draw with the sampling settings of this preset of `train`, instead of the run's: digits,
    /// digits-long, original or colour. The other flags override it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Classes by name or number, or all. 3:0.5+8:0.5 is a mixture. @3 is always class number 3, even
    /// where another class is named 3.
    pub class: ClassList,
    /// Seeds, such as 0-7,100. Each class gets one image for each seed.
    pub seeds: Seeds,
    /// The weight w of classifier-free guidance. 0 ignores the class, 1 is no guidance, and a larger w
    /// follows the class more closely with less variety. (Ho & Salimans' w is this minus 1.) Several
    /// weights, such as 1,2,4, give a row for each of every class.
    pub guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine, or a list with one weight for each step
    /// (for each interval with heun). linear and cosine start at 1, with `cfg_plus_plus` at 0.
    pub guidance_schedule: Option<WeightSchedule>,
    /// The noise levels that are guided: levels σ such as 0.2:5, or timesteps such as 100t:800t. At
    /// other levels the network runs once, not twice.
    pub interval: Option<GuidanceInterval>,
    /// Bring the standard deviation of the guided prediction (as v) back to that of the conditional
    /// one: 0 not at all, 1 fully (Lin et al. 2023).
    pub rescale: Rescale,
    /// The rule of guidance: plain, zero-star (CFG-Zero*, Fan et al. 2025), or apg or
    /// apg:ETA:NORM:MOMENTUM (adaptive projected guidance, Sadat et al. 2024).
    pub rule: Option<Rule>,
    /// Extrapolate each step from the previous one with this weight, 0 or more, at noise levels LOW to
    /// HIGH, 0.5 to 3 if none are given (after Sadat et al. 2025). It works at every `guidance`, also
    /// at 1.
    #[serde(default = "no_history")]
    pub history: Option<History>,
    /// CFG++ (Chung et al. 2024): each step adds the noise of the null prediction. `guidance` is then
    /// its λ, 0 to 1.
    pub cfg_plus_plus: bool,
    /// Guide away from this class instead of the null label.
    pub negative: Option<ClassList>,
    /// Guide away from classes drawn at random, for models without a null label (independent condition
    /// guidance, Sadat et al. 2024b).
    pub independent_condition: bool,
    /// Guide away from another, weaker model (autoguidance, Karras et al. 2024): an earlier checkpoint
    /// of the run, such as step-004000, or any model folder.
    pub guide_with: Option<String>,
    /// The model of `guide_with` predicts without the class.
    pub guide_null: bool,
    /// Network evaluations of each image; the two passes of guidance count as one.
    pub steps: Option<usize>,
    /// The sampler: ddim, ddpm, euler, heun, dpmpp-2m, dpmpp-2m-sde or unipc.
    pub sampler: Option<Solver>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100.
    pub spacing: Option<Spacing>,
    /// The noise that DDIM adds in each step, from 0 (none) to 1 (as much as DDPM).
    pub eta: Option<f64>,
    /// How the predicted image x̂_0 is clipped in each step: none, static or static:LIMIT, dynamic or
    /// dynamic:RATIO (thresholding of Saharia et al. 2022).
    pub clip: Option<Clip>,
    /// Start from the noise in this file instead of from seeds: a tensor `noise` (n, C, H, W) f32, for
    /// a model with classes `labels` (n) i64, and `seeds` (n) i64 for the noise that is added on the
    /// way.
    pub noise: Option<PathBuf>,
    /// Start from this picture under noise, a file of one of the [`duet_data::IMAGE_FORMATS`]; see `strength`,
    /// `mask` and `invert`.
    pub image: Option<PathBuf>,
    /// How much of the way from noise is drawn again with `image`, above 0 to 1. A small share changes
    /// only details, 1 draws all anew.
    pub strength: Option<Strength>,
    /// Draw anew only where this picture is white.
    pub mask: Option<PathBuf>,
    /// Start from the noise that DDIM turns into `image`. Each step looks for it with this many
    /// evaluations. The grid has one column, and `seeds` does not count.
    pub invert: Option<usize>,
    /// The class of the image for `invert`.
    pub invert_class: Option<ClassList>,
    /// Draw N images between the two seeds or the two classes that are named: seeds:N or classes:N.
    pub interpolate: Option<Interpolation>,
    /// Size of a pixel in grids and animations.
    pub scale: u8,
    /// Leave out the names of rows and columns.
    pub no_captions: bool,
}

/// A picture without this key is older than history guidance: off.
fn no_history() -> Option<History> {
    Some(History::default())
}

/// Seeds 0 and on, at most [`Seeds::MOST`].
pub(crate) fn first_seeds(count: usize) -> Seeds {
    let last = (count as u64).clamp(1, Seeds::MOST) - 1;
    Seeds::new(vec![0..=last]).expect("a range of at least one and not too many")
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
            class: ClassList::all(),
            seeds: first_seeds(8),
            guidance: Vec::new(),
            guidance_schedule: None,
            interval: None,
            rescale: Rescale::default(),
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
    /// As the model draws where nobody asks otherwise: the first seeds of each class, or of its first `most`.
    pub(crate) fn of_first_classes(classes: &[String], most: usize, seeds: usize) -> Self {
        let first: Vec<u32> = (0..classes.len().min(most) as u32).collect();
        Self { class: ClassList::of(&first, classes), seeds: first_seeds(seeds), ..Self::default() }
    }

    /// The same settings for so many seeds of each of these classes.
    ///
    /// # Errors
    /// Where those are more than are drawn at once.
    pub fn of_classes(&self, labels: &[u32], names: &[String], each: usize) -> Result<Self> {
        let seeds = Seeds::new(vec![0..=each.max(1) as u64 - 1])?;
        Ok(Self { class: ClassList::of(labels, names), seeds, ..self.clone() })
    }

    /// What differs from the default, as words of the command line: `--class 3,7`, and `--guidance=-1` where a value
    /// begins with a dash.
    ///
    /// # Errors
    /// Where a path is no UTF-8.
    pub fn flags(&self) -> Result<Vec<String>> {
        let usual = serde_json::to_value(Self::default())?;
        let mut words = Vec::new();
        let Value::Object(drawing) = serde_json::to_value(self)? else { return Ok(words) };
        for (key, value) in drawing.iter().filter(|(key, value)| usual.get(key.as_str()) != Some(*value)) {
            let text = match value {
                Value::Null | Value::Bool(false) => continue,
                Value::Bool(true) => {
                    words.push(format!("--{key}"));
                    continue;
                }
                Value::String(text) => text.clone(),
                Value::Array(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
                value => value.to_string(),
            };
            match text.starts_with('-') || text.is_empty() {
                true => words.push(format!("--{key}={text}")),
                false => words.extend([format!("--{key}"), text]),
            }
        }
        Ok(words)
    }

    /// Refuses what does not go together, and what is out of its range whatever the model.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Needs`] or [`Error::Excludes`], which name the option.
    pub fn check(&self) -> Result<()> {
        if self.guidance.len() > MOST_WEIGHTS {
            let count = self.guidance.len();
            return Err(option(
                "guidance",
                format!(": {count} weights: at most {MOST_WEIGHTS} are drawn at once"),
            ));
        }
        if let Some(weight) = self.guidance.iter().find(|weight| !weight.is_finite()) {
            return Err(option("guidance", format!(" {weight}: must be a number")));
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
                return Err(Error::Needs { name, needs: needed });
            }
        }
        for (name, others) in EXCLUDES {
            if let Some(other) = others.iter().find(|other| is_given(name) && is_given(other)) {
                return Err(Error::Excludes { name, other });
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
    use super::*;

    #[test]
    fn values_that_no_flag_takes_are_refused_wherever_they_come_from() {
        let refused = |drawing: Drawing| drawing.check().unwrap_err().to_string();
        assert!(Drawing::default().check().is_ok());
        assert!(
            refused(Drawing { guidance: vec![1.0; 1001], ..Drawing::default() }).contains("at most 1000")
        );
        assert!(refused(Drawing { guidance: vec![1.0, f64::NAN], ..Drawing::default() }).contains("NaN"));
        assert!(refused(Drawing { scale: 255, ..Drawing::default() }).contains("255"));
        assert!(
            refused(Drawing { strength: Some(Strength::ALL), ..Drawing::default() })
                .contains("goes with image")
        );
        assert!(
            refused(Drawing { noise: Some("x".into()), seeds: "1".parse().unwrap(), ..Drawing::default() })
                .contains("together with seeds")
        );
        let several = Drawing {
            guidance: vec![-1.0, 2.5],
            guidance_schedule: Some("-1,2".parse().unwrap()),
            history: Some(History::default()),
            cfg_plus_plus: true,
            run: "-x y".into(),
            image: Some("a b.png".into()),
            strength: Some(Strength::new(1e-7).unwrap()),
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
        assert_eq!(drawing, Drawing { history: Some(History::default()), ..Drawing::default() });
    }
}
