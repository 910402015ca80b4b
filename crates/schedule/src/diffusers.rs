//! `scheduler_config.json`: a schedule, a prediction, a spacing and a solver as diffusers saves them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::betas::{BETA_END, BETA_START, BetaSchedule, beta_range};
use crate::clip::Clip;
use crate::dpm_keys::DpmKeys;
use crate::error::ScheduleError;
use crate::foreign_keys;
use crate::keys::{Keys, MINUS_INFINITY, unsupported};
use crate::noise::NoiseSchedule;
use crate::prediction::Prediction;
use crate::solver::{Ddim, Ddpm, Solver, Variance};
use crate::spacing::Spacing;
use crate::steps::Steps;

/// The version of diffusers whose keys and defaults these are.
pub const DIFFUSERS_VERSION: &str = "0.42.1";

/// The schedulers of diffusers whose configurations this crate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SchedulerClass {
    #[serde(rename = "DDIMScheduler")]
    Ddim,
    #[serde(rename = "DDPMScheduler")]
    Ddpm,
    #[serde(rename = "DPMSolverMultistepScheduler")]
    DpmSolver,
}

impl SchedulerClass {
    fn of(keys: &Keys) -> Result<Self, ScheduleError> {
        let name = keys.0.get("_class_name").unwrap_or(&Value::Null);
        Self::deserialize(name).map_err(|_| {
            let known = "DDIMScheduler, DDPMScheduler or DPMSolverMultistepScheduler";
            unsupported("_class_name", &name.to_string(), known)
        })
    }
}

/// The configuration of diffusers' `DDIMScheduler`, `DDPMScheduler` or
/// `DPMSolverMultistepScheduler`, read from and written to `scheduler_config.json`.
///
/// Reading is strict, so that a model is always sampled as its folder says. Unknown keys, other schedulers
/// and settings that this crate lacks are errors that name the key. A file may still have keys of an
/// earlier scheduler. diffusers ignores them, and so does this crate;
/// [`DiffusersScheduler::from_json_with_ignored`] names them. Keys that begin with `_` are dropped, as in
/// diffusers, except for two that begin with `_duet_`: they say what diffusers' own keys cannot. Missing
/// keys have diffusers' defaults. A value of this type is always valid: its schedule, prediction and
/// spacing exist and fit each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffusersScheduler {
    #[serde(rename = "_class_name")]
    class: SchedulerClass,
    #[serde(rename = "_diffusers_version")]
    diffusers_version: &'static str,
    /// The origin of `trained_betas`, for a person to read.
    #[serde(rename = "_duet_schedule", skip_serializing_if = "Option::is_none")]
    duet_schedule: Option<String>,
    /// A spacing that diffusers lacks, used here instead of `timestep_spacing`.
    #[serde(rename = "_duet_spacing", skip_serializing_if = "Option::is_none")]
    duet_spacing: Option<Spacing>,
    beta_end: f64,
    beta_schedule: String,
    beta_start: f64,
    dynamic_thresholding_ratio: f64,
    num_train_timesteps: usize,
    prediction_type: String,
    rescale_betas_zero_snr: bool,
    sample_max_value: f64,
    steps_offset: usize,
    thresholding: bool,
    timestep_spacing: String,
    trained_betas: Option<Vec<f64>>,
    /// Keys of DDIM and DDPM.
    #[serde(flatten)]
    clipping: Option<ClipKeys>,
    /// A key of DDIM.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_alpha_to_one: Option<bool>,
    /// A key of DDPM.
    #[serde(skip_serializing_if = "Option::is_none")]
    variance_type: Option<String>,
    /// Keys of DPM-Solver.
    #[serde(flatten)]
    dpm: Option<DpmKeys>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct ClipKeys {
    clip_sample: bool,
    clip_sample_range: f64,
}

impl DiffusersScheduler {
    /// The configuration of a `DDIMScheduler` with a schedule and a prediction. `zero_snr` rescales the
    /// schedule to zero terminal SNR. The betas are those of [`beta_range`]. All else has diffusers'
    /// defaults: leading spacing, x̂_0 clipped to [-1, 1]. The `with_` methods change these.
    ///
    /// `sigmoid` and a user's own betas are written as `trained_betas`. They are the betas before the
    /// rescale: diffusers rescales them itself.
    /// Errors: as [`NoiseSchedule::new`] and [`Prediction::check`].
    pub fn new(
        kind: &BetaSchedule,
        zero_snr: bool,
        timesteps: usize,
        prediction: Prediction,
    ) -> Result<Self, ScheduleError> {
        // diffusers ignores beta_schedule if there are trained_betas.
        let (beta_schedule, trained) = match kind {
            BetaSchedule::Linear => ("linear", false),
            BetaSchedule::ScaledLinear => ("scaled_linear", false),
            BetaSchedule::Cosine => ("squaredcos_cap_v2", false),
            BetaSchedule::Sigmoid | BetaSchedule::Betas(_) => ("linear", true),
        };
        let (beta_start, beta_end) = beta_range(timesteps);
        let betas = || kind.betas(timesteps, beta_start, beta_end);
        let mut config = Self::read(&mut Keys(Map::new()), SchedulerClass::Ddim)?;
        config.duet_schedule = trained.then(|| match kind {
            BetaSchedule::Betas(_) => "betas".into(),
            kind => kind.to_string(),
        });
        config.beta_schedule = beta_schedule.into();
        (config.beta_start, config.beta_end) = (beta_start, beta_end);
        config.num_train_timesteps = timesteps;
        config.prediction_type = prediction.diffusers_name().into();
        config.rescale_betas_zero_snr = zero_snr;
        config.trained_betas = trained.then(betas).transpose()?;
        config.checked()
    }

    /// This configuration with `linear` and `scaled_linear` from `beta_start` to `beta_end`, both in (0,
    /// 1).
    /// Errors: as [`NoiseSchedule::with_beta_range`].
    pub fn with_beta_range(self, beta_start: f64, beta_end: f64) -> Result<Self, ScheduleError> {
        Self { beta_start, beta_end, ..self }.checked()
    }

    /// This configuration with another spacing.
    ///
    /// A spacing that diffusers lacks goes into `_duet_spacing`. `timestep_spacing` is then `trailing`, for
    /// which diffusers' steps are right.
    /// Errors: a spacing that the schedule cannot have.
    pub fn with_spacing(self, spacing: &Spacing) -> Result<Self, ScheduleError> {
        let (timestep_spacing, steps_offset, known) = match spacing {
            Spacing::Leading { offset } => ("leading", *offset, true),
            Spacing::Trailing => ("trailing", 0, true),
            Spacing::Linspace => ("linspace", 0, true),
            Spacing::Karras { .. } | Spacing::Sigmoid { .. } | Spacing::List(_) => ("trailing", 0, false),
        };
        let duet_spacing = (!known).then(|| spacing.clone());
        Self { timestep_spacing: timestep_spacing.into(), steps_offset, duet_spacing, ..self }.checked()
    }

    /// This configuration with x̂_0 clipped to [-range, range], or not clipped.
    /// Errors: a range that is not positive and finite.
    pub fn with_clip_range(self, range: Option<f64>) -> Result<Self, ScheduleError> {
        let keys = ClipKeys { clip_sample: range.is_some(), clip_sample_range: range.unwrap_or(1.0) };
        Self { clipping: Some(keys), ..self }.checked()
    }

    /// Reads a `scheduler_config.json`. It may contain Python's `-Infinity`.
    ///
    /// Errors: a text that is no JSON object; a missing or unknown `_class_name`; an unknown key; a value
    /// of the wrong type, out of range or not supported.
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        Self::from_json_with_ignored(text).map(|(scheduler, _)| scheduler)
    }

    /// As [`DiffusersScheduler::from_json`]. It also returns the names of the ignored keys, which belong to
    /// other schedulers of diffusers.
    pub fn from_json_with_ignored(text: &str) -> Result<(Self, Vec<String>), ScheduleError> {
        let text = with_quoted_infinities(text);
        let mut keys = Keys(serde_json::from_str(&text).map_err(|e| ScheduleError::Json(e.to_string()))?);
        let class = SchedulerClass::of(&keys)?;
        keys.0.retain(|key, _| !key.starts_with('_') || key.starts_with("_duet_"));
        let config = Self::read(&mut keys, class)?;
        match keys.0.keys().find(|key| !foreign_keys::is_known(key)) {
            Some(unknown) => Err(ScheduleError::Json(format!("unknown key {unknown:?}"))),
            None => Ok((config.checked()?, keys.0.keys().cloned().collect())),
        }
    }

    /// The `scheduler_config.json`: every key, sorted, as diffusers writes it.
    ///
    /// Every number has enough decimals to give the same f64 when it is read, so that a schedule read back
    /// is the same bit for bit. diffusers rounds them to f32.
    pub fn to_json(&self) -> String {
        let always = "strings, booleans and finite numbers are always JSON";
        let mut keys: Map<String, Value> =
            serde_json::from_value(serde_json::to_value(self).expect(always)).expect(always);
        keys.sort_keys();
        let text = serde_json::to_string_pretty(&keys).expect(always);
        text.replace(&format!("\"{MINUS_INFINITY}\""), MINUS_INFINITY)
    }

    /// The name of diffusers' class.
    pub fn class_name(&self) -> &'static str {
        match self.class {
            SchedulerClass::Ddim => "DDIMScheduler",
            SchedulerClass::Ddpm => "DDPMScheduler",
            SchedulerClass::DpmSolver => "DPMSolverMultistepScheduler",
        }
    }

    /// The table of ᾱ, from `trained_betas` if there are any, else from `beta_schedule`; rescaled if the
    /// configuration says so. If the last ᾱ is 0, DPM-Solver has 2^-24 instead, or half of the ᾱ before if
    /// that is less, so that ln σ is finite.
    pub fn noise_schedule(&self) -> Result<NoiseSchedule, ScheduleError> {
        let timesteps = self.num_train_timesteps;
        let kind = self.beta_schedule()?;
        let schedule = NoiseSchedule::with_beta_range(&kind, timesteps, self.beta_start, self.beta_end)?;
        if !self.rescale_betas_zero_snr {
            return Ok(schedule);
        }
        let rescaled = schedule.with_zero_terminal_snr();
        if self.class != SchedulerClass::DpmSolver {
            return Ok(rescaled);
        }
        let mut alpha_bars = rescaled.alphas_cumprod().to_vec();
        let before = if timesteps > 1 { alpha_bars[timesteps - 2] } else { 1.0 };
        alpha_bars[timesteps - 1] = DPM_LAST_ALPHA_BAR.min(before / 2.0);
        NoiseSchedule::from_alphas_cumprod(alpha_bars)
    }

    /// The rule of the betas, before any rescale. A table of trained betas that Duet wrote for one of its own rules is
    /// named by that rule.
    pub fn beta_schedule(&self) -> Result<BetaSchedule, ScheduleError> {
        let timesteps = self.num_train_timesteps;
        Ok(match (&self.trained_betas, self.beta_schedule.as_str()) {
            (Some(betas), _) => self.noted_rule(betas).unwrap_or_else(|| BetaSchedule::Betas(betas.clone())),
            (None, "linear") => BetaSchedule::Linear,
            (None, "scaled_linear") => BetaSchedule::ScaledLinear,
            (None, "squaredcos_cap_v2") => BetaSchedule::Cosine,
            (None, "sigmoid") if self.class == SchedulerClass::Ddpm => {
                BetaSchedule::Betas(logistic_betas(timesteps, self.beta_start, self.beta_end)?)
            }
            (None, other) => {
                return Err(unsupported(
                    "beta_schedule",
                    other,
                    "linear, scaled_linear, squaredcos_cap_v2 or trained_betas",
                ));
            }
        })
    }

    /// The rule that Duet noted beside trained betas, if it gives them.
    fn noted_rule(&self, betas: &[f64]) -> Option<BetaSchedule> {
        let rule: BetaSchedule = self.duet_schedule.as_deref()?.parse().ok()?;
        let own = rule.betas(self.num_train_timesteps, self.beta_start, self.beta_end).ok()?;
        (own == betas).then_some(rule)
    }

    /// The first and last β of `linear` and `scaled_linear`.
    pub fn beta_range(&self) -> (f64, f64) {
        (self.beta_start, self.beta_end)
    }

    /// T.
    pub fn timesteps(&self) -> usize {
        self.num_train_timesteps
    }

    /// Whether the schedule is rescaled to zero terminal SNR.
    pub fn has_zero_terminal_snr(&self) -> bool {
        self.rescale_betas_zero_snr
    }

    /// What the network predicts.
    pub fn prediction(&self) -> Result<Prediction, ScheduleError> {
        self.prediction_type.parse()
    }

    /// The spacing of the timesteps that the sampler visits. DPM-Solver gives the words for spacings
    /// meanings of its own; [`DiffusersScheduler::steps`] follows them.
    pub fn spacing(&self) -> Result<Spacing, ScheduleError> {
        match (&self.duet_spacing, self.timestep_spacing.as_str()) {
            (Some(spacing), _) => Ok(spacing.clone()),
            (None, "leading") => Ok(Spacing::Leading { offset: self.steps_offset }),
            (None, "trailing") => Ok(Spacing::Trailing),
            (None, "linspace") => Ok(Spacing::Linspace),
            (None, other) => Err(unsupported("timestep_spacing", other, "leading, trailing or linspace")),
        }
    }

    /// r if x̂_0 is clipped to [-r, r]; none if it is not clipped.
    pub fn clip_range(&self) -> Option<f64> {
        self.clipping.filter(|keys| keys.clip_sample).map(|keys| keys.clip_sample_range)
    }

    /// The clip of x̂_0. If the configuration asks for both thresholding and clipping, only thresholding is
    /// done.
    pub fn clip(&self) -> Clip {
        match self.clip_range() {
            _ if self.thresholding => {
                Clip::Dynamic { ratio: self.dynamic_thresholding_ratio, max: self.sample_max_value }
            }
            Some(limit) => Clip::Static { limit },
            None => Clip::No,
        }
    }

    /// The sampler's rule; for DDIM it has η = 0.
    pub fn solver(&self) -> Result<Solver, ScheduleError> {
        match (&self.dpm, self.variance_type.as_deref()) {
            (Some(dpm), _) => Ok(dpm.solver()?.into()),
            (None, None) => Ok(Ddim { eta: 0.0 }.into()),
            (None, Some("fixed_small" | "fixed_small_log")) => Ok(Ddpm { variance: Variance::Small }.into()),
            (None, Some("fixed_large")) => Ok(Ddpm { variance: Variance::Large }.into()),
            (None, Some(other)) => {
                Err(unsupported("variance_type", other, "fixed_small, fixed_small_log or fixed_large"))
            }
        }
    }

    /// `n` steps: their timesteps, and the noise levels between which they go.
    ///
    /// They are diffusers', with three exceptions: a single step always starts at T-1; timesteps that
    /// rounding makes equal are moved apart; each step ends where the next begins.
    /// Errors: as [`Spacing::timesteps`].
    pub fn steps(&self, n: usize) -> Result<Steps, ScheduleError> {
        let schedule = self.noise_schedule()?;
        if let Some(dpm) = &self.dpm {
            let first = self.rescale_betas_zero_snr.then_some(DPM_LAST_ALPHA_BAR);
            return dpm.steps(n, &schedule, first, (&self.timestep_spacing, self.steps_offset));
        }
        let timesteps = self.spacing()?.timesteps(n, &schedule)?;
        let steps = Steps::new(&schedule, &timesteps)?;
        if self.set_alpha_to_one != Some(false) {
            return Ok(steps);
        }
        let mut alpha_bars = steps.alpha_bars().to_vec();
        alpha_bars[n] = schedule.alpha_bar(0);
        Steps::from_levels(timesteps, alpha_bars)
    }

    /// Takes the keys of `class` out of `keys`, with its defaults for those that are missing.
    fn read(keys: &mut Keys, class: SchedulerClass) -> Result<Self, ScheduleError> {
        let spacing = if class == SchedulerClass::DpmSolver { "linspace" } else { "leading" };
        let clipping = match class {
            SchedulerClass::DpmSolver => None,
            SchedulerClass::Ddim | SchedulerClass::Ddpm => Some(ClipKeys {
                clip_sample: keys.take("clip_sample", true)?,
                clip_sample_range: keys.take("clip_sample_range", 1.0)?,
            }),
        };
        let set_alpha_to_one = match class {
            SchedulerClass::Ddim => Some(keys.take("set_alpha_to_one", true)?),
            SchedulerClass::Ddpm | SchedulerClass::DpmSolver => None,
        };
        let variance_type = match class {
            SchedulerClass::Ddpm => Some(keys.take("variance_type", "fixed_small".into())?),
            SchedulerClass::Ddim | SchedulerClass::DpmSolver => None,
        };
        let dpm = match class {
            SchedulerClass::DpmSolver => Some(DpmKeys::read(keys)?),
            SchedulerClass::Ddim | SchedulerClass::Ddpm => None,
        };
        Ok(Self {
            class,
            diffusers_version: DIFFUSERS_VERSION,
            duet_schedule: keys.take("_duet_schedule", None)?,
            duet_spacing: keys.take("_duet_spacing", None)?,
            beta_end: keys.take("beta_end", BETA_END)?,
            beta_schedule: keys.take("beta_schedule", "linear".into())?,
            beta_start: keys.take("beta_start", BETA_START)?,
            dynamic_thresholding_ratio: keys.take("dynamic_thresholding_ratio", 0.995)?,
            num_train_timesteps: keys.take("num_train_timesteps", 1000)?,
            prediction_type: keys.take("prediction_type", "epsilon".into())?,
            rescale_betas_zero_snr: keys.take("rescale_betas_zero_snr", false)?,
            sample_max_value: keys.take("sample_max_value", 1.0)?,
            steps_offset: keys.take("steps_offset", 0)?,
            thresholding: keys.take("thresholding", false)?,
            timestep_spacing: keys.take("timestep_spacing", spacing.into())?,
            trained_betas: keys.take("trained_betas", None)?,
            clipping,
            set_alpha_to_one,
            variance_type,
            dpm,
        })
    }

    fn checked(self) -> Result<Self, ScheduleError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let refuse =
            |name: &str, value, range| Err(ScheduleError::OutOfRange { name: name.into(), value, range });
        if let Some(range) =
            self.clipping.map(|keys| keys.clip_sample_range).filter(|&range| !positive(range))
        {
            return refuse("clip_sample_range", range, "positive and finite");
        }
        if !positive(self.sample_max_value) {
            return refuse("sample_max_value", self.sample_max_value, "positive and finite");
        }
        if !(0.0..=1.0).contains(&self.dynamic_thresholding_ratio) {
            return refuse("dynamic_thresholding_ratio", self.dynamic_thresholding_ratio, "0 to 1");
        }
        if let Some(dpm) = &self.dpm {
            dpm.check()?;
        }
        self.solver()?;
        let schedule = self.noise_schedule()?;
        self.prediction()?.check(&schedule)?;
        self.spacing()?.check_for(&schedule)?;
        Ok(self)
    }
}

/// The last ᾱ of DPM-Solver with zero terminal SNR.
const DPM_LAST_ALPHA_BAR: f64 = 1.0 / (1u64 << 24) as f64;

/// Puts quotes around `-Infinity` where it stands outside of a string.
fn with_quoted_infinities(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            quoted.push('"');
        }
        // Quotes split the text, so that every other part is inside a string. An escaped quote breaks this
        // rule, but no valid configuration has one.
        match i % 2 {
            0 => quoted.push_str(&part.replace(MINUS_INFINITY, "\"-Infinity\"")),
            _ => quoted.push_str(part),
        }
    }
    quoted
}

/// DDPMScheduler's "sigmoid": a logistic curve from -6 to 6 between the two betas.
fn logistic_betas(timesteps: usize, beta_start: f64, beta_end: f64) -> Result<Vec<f64>, ScheduleError> {
    // `betas` checks the number of timesteps and the range.
    let line = BetaSchedule::Linear.betas(timesteps, beta_start, beta_end)?;
    let x = |t: usize| -6.0 + 12.0 * t as f64 / (timesteps.max(2) - 1) as f64;
    let logistic = |t: usize| 1.0 / (1.0 + (-x(t)).exp());
    Ok((0..line.len()).map(|t| beta_start + logistic(t) * (beta_end - beta_start)).collect())
}
