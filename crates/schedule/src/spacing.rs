//! Timestep spacings: which N of the T timesteps a sampler visits.

use std::fmt;
use std::str::FromStr;

use crate::distinct::strictly_falling;
use crate::error::ScheduleError;
use crate::noise::NoiseSchedule;

/// The default ρ of `karras` (Karras et al. 2022, table 1).
pub const KARRAS_RHO: f64 = 7.0;

/// The default sharpness of `sigmoid`.
pub const SIGMOID_SHARPNESS: f64 = 3.0;

/// If half of the sharpness, a, is below this, the spacing is linspace: tanh(a·x)/tanh(a) = x·(1 + O(a²)),
/// and a² is below f64's resolution.
const LINEAR_HALF_SHARPNESS: f64 = 1e-8;

/// A rule for N timesteps in strictly falling order, out of 0..T-1.
///
/// As text: `leading`, `leading:1`, `trailing`, `linspace`, `karras`, `karras:7`, `sigmoid`,
/// `sigmoid:5`, or a list such as `999,500,0`. Serde uses the same text.
#[derive(Debug, Clone, PartialEq)]
pub enum Spacing {
    /// Multiples of T/N rounded down, plus `offset` < T. It ends at `offset` and does not reach T-1.
    Leading {
        /// diffusers' `steps_offset`; 0 for most models.
        offset: usize,
    },
    /// round(T - i·T/N) - 1. It begins at T-1 and therefore suits zero terminal SNR (Lin et al. 2023,
    /// section 3.3).
    Trailing,
    /// Evenly spaced from T-1 to 0.
    Linspace,
    /// σ_i = (σ_max^{1/ρ} + i/(N-1)·(σ_min^{1/ρ} - σ_max^{1/ρ}))^ρ (Karras et al. 2022, equation 5) from
    /// the schedule's largest finite σ to its smallest. Each σ_i becomes the t that is nearest in log σ, as
    /// in k-diffusion and diffusers.
    Karras {
        /// ρ > 0. A larger ρ puts more timesteps at small σ.
        rho: f64,
    },
    /// t_i = round((T-1)·(s_i - s_0)/(s_{N-1} - s_0)) in falling order, s_i = 1/(1 + e^{-u_i}), u_i = -k +
    /// 2k·i/(N-1): small steps near both ends, large ones in the middle.
    Sigmoid {
        /// k ≥ 0. 0 gives linspace; as k grows, the timesteps gather at T-1 and 0.
        sharpness: f64,
    },
    /// These timesteps.
    List(Vec<usize>),
}

impl Spacing {
    /// The names that a person can use, beside a list.
    pub const NAMES: [&'static str; 5] = ["leading", "trailing", "linspace", "karras", "sigmoid"];

    /// `n` timesteps of `schedule`, strictly falling, the first at most T-1.
    ///
    /// Every rule gives exactly `n` for 1 ≤ `n` ≤ T. Timesteps that rounding makes equal are moved apart,
    /// each as little as possible and the ends not at all. If nothing is moved, leading, trailing and
    /// linspace are those of diffusers, which rounds half to even. Linspace, karras and sigmoid begin at
    /// T-1 and end at 0. A single step is always at T-1, because a sampler begins with pure noise.
    /// Errors: `n` = 0 or `n` > T; a parameter outside its range; a list that is not falling, not below T,
    /// or whose length is not `n`.
    pub fn timesteps(&self, n: usize, schedule: &NoiseSchedule) -> Result<Vec<usize>, ScheduleError> {
        let total = schedule.len();
        if !(1..=total).contains(&n) {
            return Err(ScheduleError::StepCount { steps: n, timesteps: total });
        }
        self.check_for(schedule)?;
        let positions = match self {
            Self::List(list) if list.len() != n => {
                let reason = format!("it has {} timesteps for {n} sampling steps", list.len());
                return Err(ScheduleError::List(reason));
            }
            Self::List(list) => return Ok(list.clone()),
            _ if n == 1 => return Ok(vec![total - 1]),
            Self::Leading { offset } => leading(n, total, *offset),
            Self::Trailing => trailing(n, total),
            Self::Linspace => linspace(n, total),
            Self::Karras { rho } => karras(n, *rho, schedule),
            Self::Sigmoid { sharpness } => sigmoid(n, total, *sharpness),
        };
        let to_timestep = |t: f64| t.round_ties_even().clamp(0.0, (total - 1) as f64) as usize;
        Ok(strictly_falling(&positions.into_iter().map(to_timestep).collect::<Vec<_>>()))
    }

    /// Refuses parameters that are out of range for every N of `schedule`.
    pub(crate) fn check_for(&self, schedule: &NoiseSchedule) -> Result<(), ScheduleError> {
        self.check()?;
        let last = schedule.len() - 1;
        match self {
            Self::Leading { offset } if *offset > last => {
                let value = *offset as f64;
                Err(ScheduleError::OutOfRange { name: "offset".into(), value, range: "below T" })
            }
            Self::List(list) if list[0] > last => {
                Err(ScheduleError::List(format!("{} is beyond the last timestep, {last}", list[0])))
            }
            _ => Ok(()),
        }
    }

    /// Refuses parameters that are out of range for every schedule.
    fn check(&self) -> Result<(), ScheduleError> {
        let refuse =
            |name: &str, value, range| Err(ScheduleError::OutOfRange { name: name.into(), value, range });
        match self {
            Self::Karras { rho } if !(*rho > 0.0 && rho.is_finite()) => {
                refuse("rho", *rho, "positive and finite")
            }
            Self::Sigmoid { sharpness } if !(*sharpness >= 0.0 && sharpness.is_finite()) => {
                refuse("sharpness", *sharpness, "at least 0 and finite")
            }
            Self::List(list) if list.is_empty() => Err(ScheduleError::List("it is empty".into())),
            Self::List(list) => match list.windows(2).find(|pair| pair[0] <= pair[1]) {
                Some(pair) => {
                    Err(ScheduleError::List(format!("{} is followed by {}: it must fall", pair[0], pair[1])))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn leading(n: usize, total: usize, offset: usize) -> Vec<f64> {
    (0..n).rev().map(|i| (i * (total / n) + offset) as f64).collect()
}

/// As numpy's `round(arange(T, 0, -T/N)) - 1`, which computes its step from the first two values, but never
/// N + 1 values.
fn trailing(n: usize, total: usize) -> Vec<f64> {
    let total = total as f64;
    let step = (total - total / n as f64) - total;
    (0..n).map(|i| (total + i as f64 * step).round_ties_even() - 1.0).collect()
}

/// As numpy's `linspace(0, T-1, N)`, which sets its last value separately.
fn linspace(n: usize, total: usize) -> Vec<f64> {
    let last = (total - 1) as f64;
    let step = last / (n - 1) as f64;
    std::iter::once(last).chain((0..n - 1).rev().map(|i| i as f64 * step)).collect()
}

fn sigmoid(n: usize, total: usize, sharpness: f64) -> Vec<f64> {
    let half = sharpness / 2.0;
    if half < LINEAR_HALF_SHARPNESS {
        return linspace(n, total);
    }
    // Since 1/(1 + e^{-u}) = (1 + tanh(u/2))/2, the fraction is (1 + tanh(k/2·x)/tanh(k/2))/2, with x from
    // 1 to -1.
    let middle = (total - 1) as f64 / 2.0;
    let x = |i: usize| 1.0 - 2.0 * i as f64 / (n - 1) as f64;
    (0..n).map(|i| middle * (1.0 + (half * x(i)).tanh() / half.tanh())).collect()
}

fn karras(n: usize, rho: f64, schedule: &NoiseSchedule) -> Vec<f64> {
    let log_sigmas = finite_log_sigmas(schedule);
    let inner = karras_log_sigmas(n, rho, &log_sigmas);
    let inner = inner[1..n - 1].iter().map(|&log_sigma| position(&log_sigmas, log_sigma));
    std::iter::once((schedule.len() - 1) as f64).chain(inner).chain([0.0]).collect()
}

/// ln σ_t, rising with t, without the last value if it is infinite.
pub(crate) fn finite_log_sigmas(schedule: &NoiseSchedule) -> Vec<f64> {
    let finite = schedule.len() - usize::from(schedule.has_zero_terminal_snr());
    (0..finite).map(|t| schedule.sigma(t).ln()).collect()
}

/// ln σ_i of Karras et al. 2022, equation 5, falling between the ends of `log_sigmas`; only the largest for
/// n = 1.
pub(crate) fn karras_log_sigmas(n: usize, rho: f64, log_sigmas: &[f64]) -> Vec<f64> {
    let (log_min, log_max) = (log_sigmas[0], log_sigmas[log_sigmas.len() - 1]);
    // log σ_i = log σ_max + ρ·log(1 + i/(N-1)·((σ_min/σ_max)^{1/ρ} - 1)), which overflows for no ρ.
    let reach = ((log_min - log_max) / rho).exp_m1();
    let part = |i: usize| i as f64 / (n.max(2) - 1) as f64;
    (0..n).map(|i| log_max + rho * (part(i) * reach).ln_1p()).collect()
}

/// The position of `value` among the `rising` values: an index, plus a fraction between two of them.
pub(crate) fn position(rising: &[f64], value: f64) -> f64 {
    let above = rising.partition_point(|&r| r < value);
    if above == 0 || above == rising.len() {
        return above.min(rising.len() - 1) as f64;
    }
    let (low, high) = (rising[above - 1], rising[above]);
    (above - 1) as f64 + (value - low) / (high - low)
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leading { offset: 0 } => f.write_str("leading"),
            Self::Leading { offset } => write!(f, "leading:{offset}"),
            Self::Trailing => f.write_str("trailing"),
            Self::Linspace => f.write_str("linspace"),
            Self::Karras { rho } => write!(f, "karras:{rho}"),
            Self::Sigmoid { sharpness } => write!(f, "sigmoid:{sharpness}"),
            Self::List(list) => f.write_str(&list.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Spacing {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let refuse = |expected| ScheduleError::Text { text: text.into(), expected };
        let unknown = || {
            let forms = "leading[:OFFSET], trailing, linspace, karras[:RHO], sigmoid[:SHARPNESS] or a list such as 999,500,0";
            refuse(format!("expected {forms}").into())
        };
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let number = |default: f64| parameter.map_or(Ok(default), |p| p.parse().map_err(|_| unknown()));
        let spacing = match (name, parameter) {
            ("leading", None) => Self::Leading { offset: 0 },
            ("leading", Some(offset)) => Self::Leading { offset: offset.parse().map_err(|_| unknown())? },
            ("trailing", None) => Self::Trailing,
            ("linspace", None) => Self::Linspace,
            ("karras", _) => Self::Karras { rho: number(KARRAS_RHO)? },
            ("sigmoid", _) => Self::Sigmoid { sharpness: number(SIGMOID_SHARPNESS)? },
            (list, None) => {
                let timesteps: Result<_, _> = list.split(',').map(|t| t.trim().parse()).collect();
                Self::List(timesteps.map_err(|_| unknown())?)
            }
            _ => return Err(unknown()),
        };
        spacing.check().map_err(|error| refuse(error.to_string().into()))?;
        Ok(spacing)
    }
}

crate::serde_as_text!(Spacing);
