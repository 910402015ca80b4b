//! The interval of noise levels in which guidance applies (Kynkäänniemi et al. 2024).

use crate::error::SampleError;
use duet_schedule::NoiseSchedule;

/// Noise levels σ = √((1-ᾱ)/ᾱ) in (low, high]. Guidance at large σ reduces variety, at small σ it has no
/// effect, and both cost an evaluation of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseInterval {
    low: f64,
    high: f64,
}

impl Default for NoiseInterval {
    /// Everywhere.
    fn default() -> Self {
        Self { low: 0.0, high: f64::INFINITY }
    }
}

impl NoiseInterval {
    /// The levels in (low, high], where 0 ≤ low < high; high may be infinite. Errors: any other levels.
    pub fn new(low: f64, high: f64) -> Result<Self, SampleError> {
        match low >= 0.0 && low < high {
            true => Ok(Self { low, high }),
            false => Err(SampleError::Setting(format!("interval {low} to {high}: must be 0 <= low < high"))),
        }
    }

    /// The noise levels of the timesteps from `first` to `last` of a schedule, both included.
    ///
    /// Errors: first > last, or last beyond T-1.
    pub fn of_timesteps(first: usize, last: usize, schedule: &NoiseSchedule) -> Result<Self, SampleError> {
        if first > last || last >= schedule.len() {
            let end = schedule.len() - 1;
            let message =
                format!("interval of timesteps {first} to {last}: must rise and end at most at {end}");
            return Err(SampleError::Setting(message));
        }
        // The ends lie halfway to the neighbouring timesteps, so that rounding cannot change the result.
        let between = |t: usize| match schedule.sigma(t + 1) {
            above if above.is_finite() => (schedule.sigma(t) * above).sqrt(),
            _ => 2.0 * schedule.sigma(t),
        };
        let low = first.checked_sub(1).map_or(0.0, between);
        let high = if last + 1 == schedule.len() { f64::INFINITY } else { between(last) };
        Self::new(low, high)
    }

    /// (low, high).
    pub fn levels(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Whether guidance applies at this ᾱ.
    pub fn contains(&self, alpha_bar: f64) -> bool {
        let sigma = ((1.0 - alpha_bar) / alpha_bar).sqrt();
        self.low < sigma && sigma <= self.high
    }
}
