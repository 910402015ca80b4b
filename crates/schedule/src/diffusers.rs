//! `scheduler_config.json`: a schedule, a prediction and a spacing as diffusers saves them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::betas::{BETA_END, BETA_START, BetaSchedule};
use crate::{NoiseSchedule, Prediction, ScheduleError, Spacing};

/// The version of diffusers whose keys and defaults these are.
const DIFFUSERS_VERSION: &str = "0.42.0";

/// The schedulers of diffusers whose configuration is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Class {
    #[serde(rename = "DDIMScheduler")]
    Ddim,
}

/// The configuration of diffusers' `DDIMScheduler`, read from and written to
/// `scheduler_config.json`.
///
/// Reading is strict, so that no model is sampled otherwise than its folder says: unknown keys,
/// other schedulers and settings that this crate lacks are refused by name. Keys that begin with
/// `_` are dropped, as diffusers does; two begin with `_duet_` and say what diffusers' own keys
/// cannot. Missing keys have diffusers' defaults. A value of this type is always valid: its
/// schedule, prediction and spacing exist and fit each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffusersScheduler {
    #[serde(rename = "_class_name")]
    class: Class,
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
    clip_sample: bool,
    clip_sample_range: f64,
    dynamic_thresholding_ratio: f64,
    num_train_timesteps: usize,
    prediction_type: String,
    rescale_betas_zero_snr: bool,
    sample_max_value: f64,
    set_alpha_to_one: bool,
    steps_offset: usize,
    thresholding: bool,
    timestep_spacing: String,
    trained_betas: Option<Vec<f64>>,
}

impl DiffusersScheduler {
    /// The configuration of a schedule (`zero_snr`: rescaled to zero terminal SNR) and a
    /// prediction, else as diffusers' defaults: leading spacing, x̂_0 clipped to [-1, 1], betas
    /// from 1e-4 to 0.02; the `with_` methods change those.
    ///
    /// `sigmoid` and a user's own betas are written as `trained_betas`, before the rescale, which
    /// diffusers does itself.
    /// Errors: as [`NoiseSchedule::new`] and [`Prediction::check`].
    pub fn new(
        kind: &BetaSchedule,
        zero_snr: bool,
        timesteps: usize,
        prediction: Prediction,
    ) -> Result<Self, ScheduleError> {
        // diffusers reads no beta_schedule where there are trained_betas.
        let (beta_schedule, trained) = match kind {
            BetaSchedule::Linear => ("linear", false),
            BetaSchedule::ScaledLinear => ("scaled_linear", false),
            BetaSchedule::Cosine => ("squaredcos_cap_v2", false),
            BetaSchedule::Sigmoid | BetaSchedule::Betas(_) => ("linear", true),
        };
        let betas = || kind.betas(timesteps, BETA_START, BETA_END);
        let mut config = Self::read(&mut Keys(Map::new()), Class::Ddim)?;
        config.duet_schedule = trained.then(|| kind.to_string());
        config.beta_schedule = beta_schedule.into();
        config.num_train_timesteps = timesteps;
        config.prediction_type = prediction.diffusers_name().into();
        config.rescale_betas_zero_snr = zero_snr;
        config.trained_betas = trained.then(betas).transpose()?;
        config.checked()
    }

    /// The same with `linear` and `scaled_linear` from `beta_start` to `beta_end`, both in (0, 1).
    pub fn with_beta_range(self, beta_start: f64, beta_end: f64) -> Result<Self, ScheduleError> {
        Self { beta_start, beta_end, ..self }.checked()
    }

    /// The same with another spacing.
    ///
    /// Those that diffusers lacks go into `_duet_spacing`, and it is told trailing: its steps are
    /// right for that one.
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

    /// The same with x̂_0 clipped to [-range, range], range positive and finite, or not clipped.
    pub fn with_clip_range(self, range: Option<f64>) -> Result<Self, ScheduleError> {
        Self { clip_sample: range.is_some(), clip_sample_range: range.unwrap_or(1.0), ..self }.checked()
    }

    /// Reads a `scheduler_config.json`.
    ///
    /// Errors: text that is no JSON object; `_class_name` missing or not `DDIMScheduler`; an
    /// unknown key; a value of another type than diffusers', out of range or not supported
    /// (`thresholding`, `set_alpha_to_one` = false).
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        let mut keys = Keys(serde_json::from_str(text).map_err(|e| ScheduleError::Json(e.to_string()))?);
        let class = keys.class()?;
        keys.0.retain(|key, _| !key.starts_with('_') || key.starts_with("_duet_"));
        let config = Self::read(&mut keys, class)?;
        match keys.0.keys().next() {
            Some(unknown) => Err(ScheduleError::Json(format!("unknown key {unknown:?}"))),
            None => config.checked(),
        }
    }

    /// The `scheduler_config.json`: every key, sorted, as diffusers writes it.
    ///
    /// Every number is written in as many decimals as bring back the same f64, so a schedule read
    /// back is the same bit for bit; diffusers rounds them to f32.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, booleans and finite numbers are always JSON")
    }

    /// The table of ᾱ: of `trained_betas` if there are any, else of `beta_schedule`; rescaled if it
    /// says so.
    pub fn noise_schedule(&self) -> Result<NoiseSchedule, ScheduleError> {
        let kind = match (&self.trained_betas, self.beta_schedule.as_str()) {
            (Some(betas), _) => BetaSchedule::Betas(betas.clone()),
            (None, "linear") => BetaSchedule::Linear,
            (None, "scaled_linear") => BetaSchedule::ScaledLinear,
            (None, "squaredcos_cap_v2") => BetaSchedule::Cosine,
            (None, other) => {
                return Err(unsupported(
                    "beta_schedule",
                    other,
                    "linear, scaled_linear, squaredcos_cap_v2 or trained_betas",
                ));
            }
        };
        let timesteps = self.num_train_timesteps;
        let schedule = NoiseSchedule::with_beta_range(&kind, timesteps, self.beta_start, self.beta_end)?;
        Ok(if self.rescale_betas_zero_snr { schedule.with_zero_terminal_snr() } else { schedule })
    }

    /// What the network predicts.
    pub fn prediction(&self) -> Result<Prediction, ScheduleError> {
        self.prediction_type.parse()
    }

    /// The spacing of the timesteps that the sampler visits.
    pub fn spacing(&self) -> Result<Spacing, ScheduleError> {
        match (&self.duet_spacing, self.timestep_spacing.as_str()) {
            (Some(spacing), _) => Ok(spacing.clone()),
            (None, "leading") => Ok(Spacing::Leading { offset: self.steps_offset }),
            (None, "trailing") => Ok(Spacing::Trailing),
            (None, "linspace") => Ok(Spacing::Linspace),
            (None, other) => Err(unsupported("timestep_spacing", other, "leading, trailing or linspace")),
        }
    }

    /// The range r of the clipping of x̂_0 to [-r, r], if it is clipped.
    pub fn clip_range(&self) -> Option<f64> {
        self.clip_sample.then_some(self.clip_sample_range)
    }

    /// Takes the keys of `class` out of `keys`, with its defaults for those that are missing.
    fn read(keys: &mut Keys, class: Class) -> Result<Self, ScheduleError> {
        match class {
            Class::Ddim => Ok(Self {
                class,
                diffusers_version: DIFFUSERS_VERSION,
                duet_schedule: keys.take("_duet_schedule", None)?,
                duet_spacing: keys.take("_duet_spacing", None)?,
                beta_end: keys.take("beta_end", BETA_END)?,
                beta_schedule: keys.take("beta_schedule", "linear".into())?,
                beta_start: keys.take("beta_start", BETA_START)?,
                clip_sample: keys.take("clip_sample", true)?,
                clip_sample_range: keys.take("clip_sample_range", 1.0)?,
                dynamic_thresholding_ratio: keys.take("dynamic_thresholding_ratio", 0.995)?,
                num_train_timesteps: keys.take("num_train_timesteps", 1000)?,
                prediction_type: keys.take("prediction_type", "epsilon".into())?,
                rescale_betas_zero_snr: keys.take("rescale_betas_zero_snr", false)?,
                sample_max_value: keys.take("sample_max_value", 1.0)?,
                set_alpha_to_one: keys.take("set_alpha_to_one", true)?,
                steps_offset: keys.take("steps_offset", 0)?,
                thresholding: keys.take("thresholding", false)?,
                timestep_spacing: keys.take("timestep_spacing", "leading".into())?,
                trained_betas: keys.take("trained_betas", None)?,
            }),
        }
    }

    fn checked(self) -> Result<Self, ScheduleError> {
        if self.thresholding {
            return Err(unsupported("thresholding", "true", "false"));
        }
        if !self.set_alpha_to_one {
            return Err(unsupported("set_alpha_to_one", "false", "true"));
        }
        if !(self.clip_sample_range > 0.0 && self.clip_sample_range.is_finite()) {
            let (name, value) = ("clip_sample_range".into(), self.clip_sample_range);
            return Err(ScheduleError::OutOfRange { name, value, range: "positive and finite" });
        }
        let schedule = self.noise_schedule()?;
        self.prediction()?.check(&schedule)?;
        self.spacing()?.check_for(&schedule)?;
        Ok(self)
    }
}

fn unsupported(key: &'static str, value: &str, expected: &'static str) -> ScheduleError {
    ScheduleError::Unsupported { key, value: value.into(), expected }
}

/// The keys of the object that are not read yet.
struct Keys(Map<String, Value>);

impl Keys {
    fn class(&self) -> Result<Class, ScheduleError> {
        let name = self.0.get("_class_name").unwrap_or(&Value::Null);
        Class::deserialize(name).map_err(|_| unsupported("_class_name", &name.to_string(), "DDIMScheduler"))
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T, ScheduleError> {
        match self.0.shift_remove(key) {
            Some(value) => T::deserialize(value).map_err(|e| ScheduleError::Json(format!("{key}: {e}"))),
            None => Ok(default),
        }
    }
}
