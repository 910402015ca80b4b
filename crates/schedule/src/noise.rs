//! The noise schedule: the table of ᾱ. Training and sampling share it.

use crate::betas::{BetaSchedule, beta_range};
use crate::error::ScheduleError;
use crate::timesteps::MAX_TIMESTEPS;

/// The least relative fall of ᾱ from one t to the next. With a smaller fall, rounding could make two values
/// equal.
const MIN_FALL: f64 = 1e-12;

/// ᾱ_t for t in 0..T-1: x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε, from almost clean at 0 to almost noise at T-1.
///
/// The values fall strictly and lie in (0, 1). Only the last may be exactly 0 (zero terminal SNR).
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f64>,
}

impl NoiseSchedule {
    /// The schedule of `kind` with T = `timesteps`. `linear` and `scaled_linear` have the betas of
    /// [`beta_range`]: from 1e-4 to 0.02 for T = 1000, ten times as much for T = 100.
    ///
    /// Errors: those of [`BetaSchedule::betas`]; betas so large, or timesteps so many, that ᾱ leaves the
    /// range of f32.
    pub fn new(kind: &BetaSchedule, timesteps: usize) -> Result<Self, ScheduleError> {
        let (beta_start, beta_end) = beta_range(timesteps);
        Self::with_beta_range(kind, timesteps, beta_start, beta_end)
    }

    /// As [`NoiseSchedule::new`], with `linear` and `scaled_linear` from `beta_start` to
    /// `beta_end`, both in (0, 1).
    ///
    /// The other kinds ignore the range. Errors: as [`NoiseSchedule::new`].
    pub fn with_beta_range(
        kind: &BetaSchedule,
        timesteps: usize,
        beta_start: f64,
        beta_end: f64,
    ) -> Result<Self, ScheduleError> {
        // ᾱ_t = Π_{s≤t} (1-β_s)
        let steps = kind.betas(timesteps, beta_start, beta_end)?.into_iter();
        let cumulate = |product: &mut f64, beta: f64| {
            *product *= 1.0 - beta;
            Some(*product)
        };
        Self::from_alphas_cumprod(steps.scan(1.0, cumulate).collect())
    }

    /// The schedule with these ᾱ_t, t in 0..T-1.
    ///
    /// They start below 1, fall by at least a share of 1e-12 each time, and stay in the range of f32, in
    /// which networks compute (at least 1.2e-38). Only the last may be exactly 0.
    /// Errors: any other table, one with NaN included, with its first wrong t; a length outside
    /// 1..=[`MAX_TIMESTEPS`].
    pub fn from_alphas_cumprod(alphas_cumprod: Vec<f64>) -> Result<Self, ScheduleError> {
        let timesteps = alphas_cumprod.len();
        if !(1..=MAX_TIMESTEPS).contains(&timesteps) {
            return Err(ScheduleError::Timesteps(timesteps));
        }
        let mut before = 1.0;
        for (t, &value) in alphas_cumprod.iter().enumerate() {
            let zero_at_the_end = value == 0.0 && t + 1 == timesteps;
            if !(zero_at_the_end || (f64::from(f32::MIN_POSITIVE)..1.0).contains(&value)) {
                let range = "within [1.2e-38, 1), or 0 at the last timestep";
                return Err(ScheduleError::OutOfRange { name: format!("alpha_bar[{t}]"), value, range });
            }
            if value > before * (1.0 - MIN_FALL) {
                return Err(ScheduleError::NotFalling { t, before, value });
            }
            before = value;
        }
        Ok(Self { alphas_cumprod })
    }

    /// This schedule, shifted and scaled so that the last ᾱ becomes exactly 0 and the first stays (Lin et
    /// al. 2023, algorithm 1): s_t ← (s_t - s_{T-1})·s_0/(s_0 - s_{T-1}) with s = √ᾱ.
    ///
    /// If the last ᾱ is already 0, nothing changes. With T = 1 the only ᾱ becomes 0.
    pub fn with_zero_terminal_snr(&self) -> Self {
        if self.has_zero_terminal_snr() {
            return self.clone();
        }
        let roots: Vec<f64> = self.alphas_cumprod.iter().map(|a| a.sqrt()).collect();
        let (first, last) = (roots[0], roots[roots.len() - 1]);
        let scale = first / (first - last);
        let mut alphas_cumprod: Vec<f64> = roots.iter().map(|s| ((s - last) * scale).powi(2)).collect();
        // With T = 1 the scale is infinite.
        alphas_cumprod[roots.len() - 1] = 0.0;
        Self { alphas_cumprod }
    }

    /// This schedule with every signal-to-noise ratio times `scale`, positive and finite: ᾱ_t ← kᾱ_t/(1 - ᾱ_t + kᾱ_t).
    ///
    /// Neighbouring pixels of a large image say the same, so that more noise is needed to hide what it shows. With
    /// `scale` = (32/side)², each group of pixels that makes one pixel of a 32×32 image has the SNR that this pixel
    /// would have (Hoogeboom et al. 2023, equation 3).
    /// Errors: any other `scale`; one that takes ᾱ out of its range.
    pub fn with_snr_scale(&self, scale: f64) -> Result<Self, ScheduleError> {
        if !(scale > 0.0 && scale.is_finite()) {
            let range = "a positive, finite number";
            return Err(ScheduleError::OutOfRange { name: "snr_scale".into(), value: scale, range });
        }
        let scaled = |&a: &f64| scale * a / (1.0 - a + scale * a);
        Self::from_alphas_cumprod(self.alphas_cumprod.iter().map(scaled).collect())
    }

    /// T, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a schedule is never empty")]
    pub fn len(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// ᾱ_t for t in 0..T-1.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// ᾱ_t. Like an index into a slice, it panics for t ≥ T; so do [`sigma`](Self::sigma) and
    /// [`snr`](Self::snr).
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alphas_cumprod[t]
    }

    /// σ_t = √((1-ᾱ_t)/ᾱ_t), the noise of x_t/√ᾱ_t (Karras et al. 2022's σ); infinite where ᾱ_t =
    /// 0.
    pub fn sigma(&self, t: usize) -> f64 {
        let alpha_bar = self.alpha_bar(t);
        ((1.0 - alpha_bar) / alpha_bar).sqrt()
    }

    /// The signal-to-noise ratio ᾱ_t/(1-ᾱ_t) = 1/σ_t²; finite, and 0 where ᾱ_t = 0.
    pub fn snr(&self, t: usize) -> f64 {
        let alpha_bar = self.alpha_bar(t);
        alpha_bar / (1.0 - alpha_bar)
    }

    /// β_t = 1 - ᾱ_t/ᾱ_{t-1} with ᾱ_{-1} = 1; the last is 1 with zero terminal SNR.
    pub fn betas(&self) -> Vec<f64> {
        let before = std::iter::once(&1.0).chain(&self.alphas_cumprod);
        self.alphas_cumprod.iter().zip(before).map(|(a, before)| 1.0 - a / before).collect()
    }

    /// Whether the last ᾱ is exactly 0. x_{T-1} is then pure noise.
    pub fn has_zero_terminal_snr(&self) -> bool {
        self.alphas_cumprod.last() == Some(&0.0)
    }
}
