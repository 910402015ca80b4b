//! The keys that only `DPMSolverMultistepScheduler` has in a `scheduler_config.json`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::distinct::strictly_falling;
use crate::error::ScheduleError;
use crate::keys::{Keys, MINUS_INFINITY, unsupported};
use crate::noise::NoiseSchedule;
use crate::solver::{DpmAlgorithm, DpmSolver, SecondOrder, ThirdOrder};
use crate::spacing::{KARRAS_RHO, finite_log_sigmas, karras_log_sigmas, position};
use crate::steps::Steps;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DpmKeys {
    algorithm_type: String,
    euler_at_final: bool,
    final_sigmas_type: String,
    flow_shift: f64,
    lambda_min_clipped: Lambda,
    lower_order_final: bool,
    solver_order: usize,
    solver_type: String,
    time_shift_type: String,
    use_beta_sigmas: bool,
    use_dynamic_shifting: bool,
    use_exponential_sigmas: bool,
    use_flow_sigmas: bool,
    use_karras_sigmas: bool,
    use_lu_lambdas: bool,
    variance_type: Option<String>,
}

/// A number that may be minus infinity. JSON has no word for it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lambda(f64);

impl Serialize for Lambda {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            f64::NEG_INFINITY => serializer.serialize_str(MINUS_INFINITY),
            value => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Lambda {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(value) => Ok(Self(value)),
            Either::Word(word) if word == MINUS_INFINITY => Ok(Self(f64::NEG_INFINITY)),
            Either::Word(word) => Err(D::Error::custom(format!("{word:?} is not a number"))),
        }
    }
}

impl DpmKeys {
    /// Takes its keys out of `keys`, with diffusers' defaults for those that are missing.
    pub fn read(keys: &mut Keys) -> Result<Self, ScheduleError> {
        Ok(Self {
            algorithm_type: keys.take("algorithm_type", "dpmsolver++".into())?,
            euler_at_final: keys.take("euler_at_final", false)?,
            final_sigmas_type: keys.take("final_sigmas_type", "zero".into())?,
            flow_shift: keys.take("flow_shift", 1.0)?,
            lambda_min_clipped: keys.take("lambda_min_clipped", Lambda(f64::NEG_INFINITY))?,
            lower_order_final: keys.take("lower_order_final", true)?,
            solver_order: keys.take("solver_order", 2)?,
            solver_type: keys.take("solver_type", "midpoint".into())?,
            time_shift_type: keys.take("time_shift_type", "exponential".into())?,
            use_beta_sigmas: keys.take("use_beta_sigmas", false)?,
            use_dynamic_shifting: keys.take("use_dynamic_shifting", false)?,
            use_exponential_sigmas: keys.take("use_exponential_sigmas", false)?,
            use_flow_sigmas: keys.take("use_flow_sigmas", false)?,
            use_karras_sigmas: keys.take("use_karras_sigmas", false)?,
            use_lu_lambdas: keys.take("use_lu_lambdas", false)?,
            variance_type: keys.take("variance_type", None)?,
        })
    }

    /// Refuses settings that this crate does not compute, by key; [`DpmKeys::solver`] refuses the rest.
    pub fn check(&self) -> Result<(), ScheduleError> {
        for (key, value) in [
            ("use_beta_sigmas", self.use_beta_sigmas),
            ("use_flow_sigmas", self.use_flow_sigmas),
            ("use_dynamic_shifting", self.use_dynamic_shifting),
        ] {
            if value {
                return Err(unsupported(key, "true", "false"));
            }
        }
        // DPM-Solver ignores the names of DDPM's fixed variances. An earlier scheduler may have left one.
        if let Some(variance) = self.variance_type.as_ref().filter(|variance| variance.starts_with("learned"))
        {
            return Err(unsupported("variance_type", variance, "null"));
        }
        let rules = [self.use_karras_sigmas, self.use_lu_lambdas, self.use_exponential_sigmas];
        if rules.iter().filter(|&&rule| rule).count() > 1 {
            let what = "one of it, use_lu_lambdas and use_exponential_sigmas";
            return Err(unsupported("use_karras_sigmas", "true", what));
        }
        if !["zero", "sigma_min"].contains(&self.final_sigmas_type.as_str()) {
            return Err(unsupported("final_sigmas_type", &self.final_sigmas_type, "zero or sigma_min"));
        }
        if self.lambda_min_clipped.0.is_nan() {
            return Err(unsupported("lambda_min_clipped", "NaN", "a number"));
        }
        Ok(())
    }

    pub fn solver(&self) -> Result<DpmSolver, ScheduleError> {
        let algorithm = match self.algorithm_type.as_str() {
            // diffusers treats deis as dpmsolver++.
            "dpmsolver++" | "deis" => DpmAlgorithm::DataOde,
            "sde-dpmsolver++" => DpmAlgorithm::DataSde,
            "dpmsolver" => DpmAlgorithm::NoiseOde,
            "sde-dpmsolver" => DpmAlgorithm::NoiseSde,
            other => {
                let known = "dpmsolver++, sde-dpmsolver++, dpmsolver or sde-dpmsolver";
                return Err(unsupported("algorithm_type", other, known));
            }
        };
        let second_order = match self.solver_type.as_str() {
            // diffusers treats the other words as midpoint.
            "midpoint" | "logrho" | "bh1" | "bh2" => SecondOrder::Midpoint,
            "heun" => SecondOrder::Heun,
            other => return Err(unsupported("solver_type", other, "midpoint or heun")),
        };
        if matches!(algorithm, DpmAlgorithm::NoiseOde | DpmAlgorithm::NoiseSde)
            && self.final_sigmas_type == "zero"
        {
            let known = "sigma_min with algorithm_type dpmsolver and sde-dpmsolver";
            return Err(unsupported("final_sigmas_type", "zero", known));
        }
        if !(1..=algorithm.max_order()).contains(&self.solver_order) {
            let known = "1, 2 or 3, and no 3 with sde-dpmsolver";
            return Err(unsupported("solver_order", &self.solver_order.to_string(), known));
        }
        Ok(DpmSolver {
            order: self.solver_order,
            algorithm,
            second_order,
            // A model from a folder is sampled as diffusers samples it.
            third_order: ThirdOrder::Diffusers,
            lower_order_final: self.lower_order_final,
            euler_at_final: self.euler_at_final || self.final_sigmas_type == "zero",
        })
    }

    /// The steps of `n` timesteps. `first` replaces the ᾱ of T-1.
    pub fn steps(
        &self,
        n: usize,
        schedule: &NoiseSchedule,
        first: Option<f64>,
        (spacing, offset): (&str, usize),
    ) -> Result<Steps, ScheduleError> {
        let timesteps = schedule.len();
        if !(1..=timesteps).contains(&n) {
            return Err(ScheduleError::StepCount { steps: n, timesteps });
        }
        let end = if self.final_sigmas_type == "zero" { 1.0 } else { schedule.alpha_bar(0) };
        let mut log_sigmas = finite_log_sigmas(schedule);
        if let Some(alpha_bar) = first {
            let most = 0.5 * ((1.0 - alpha_bar) / alpha_bar).ln();
            // The sampler does not visit larger σ.
            log_sigmas.iter_mut().for_each(|value| *value = value.min(most));
        }
        let (low, high) = (log_sigmas[0], log_sigmas[log_sigmas.len() - 1]);
        let levels = if self.use_karras_sigmas {
            karras_log_sigmas(n, KARRAS_RHO, &log_sigmas)
        } else if self.use_lu_lambdas || self.use_exponential_sigmas {
            // Evenly in λ = -ln σ (Lu et al. 2022), which is the exponential spacing of σ.
            (0..n).map(|i| high + (low - high) * i as f64 / (n.max(2) - 1) as f64).collect()
        } else {
            let t = self.timesteps(n, schedule, spacing, offset)?;
            let mut alpha_bars: Vec<f64> = t.iter().map(|&t| schedule.alpha_bar(t)).chain([end]).collect();
            if let Some(first) = first.filter(|&first| t[0] == timesteps - 1 && first < alpha_bars[1]) {
                alpha_bars[0] = first;
            }
            return Steps::from_levels(t, alpha_bars);
        };
        let nearest = |&level: &f64| position(&log_sigmas, level).round_ties_even() as usize;
        let t = std::iter::once(timesteps - 1).chain(levels[1..].iter().map(nearest)).collect();
        // The smallest σ is the end up to rounding, so ᾱ is kept from passing the end.
        let alpha_bar = |level: &f64| (1.0 / (1.0 + (2.0 * level).exp())).min(end);
        Steps::from_levels(t, levels.iter().map(alpha_bar).chain([end]).collect())
    }

    /// The timesteps of a spacing: the first N of N + 1 points. The sampler ends at the last point, 0.
    fn timesteps(
        &self,
        n: usize,
        schedule: &NoiseSchedule,
        spacing: &str,
        offset: usize,
    ) -> Result<Vec<usize>, ScheduleError> {
        // Timesteps with smaller λ = -ln σ are left out at the beginning.
        let clipped = |t: &usize| -schedule.sigma(*t).ln() >= self.lambda_min_clipped.0;
        let last = (0..schedule.len()).take_while(clipped).count();
        if n > last {
            return Err(ScheduleError::StepCount { steps: n, timesteps: last });
        }
        if n == 1 {
            return Ok(vec![last - 1]);
        }
        let positions: Vec<f64> = match spacing {
            "linspace" => (1..=n).rev().map(|i| (last - 1) as f64 * i as f64 / n as f64).collect(),
            "leading" => (1..=n).rev().map(|i| (i * (last / (n + 1)) + offset) as f64).collect(),
            _ => {
                let step = last as f64 / n as f64;
                (0..n).map(|i| (last as f64 - i as f64 * step).round_ties_even() - 1.0).collect()
            }
        };
        let to_timestep = |t: f64| t.round_ties_even().clamp(0.0, (last - 1) as f64) as usize;
        Ok(strictly_falling(&positions.into_iter().map(to_timestep).collect::<Vec<_>>()))
    }
}
