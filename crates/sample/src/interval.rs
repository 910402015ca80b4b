//! Guidance in a limited interval of noise (Kynkäänniemi et al. 2024).

use crate::SampleError;

/// Noise levels σ = √((1-ᾱ)/ᾱ) within (low, high]: guidance at large σ costs variety, at small σ it
/// does nothing, and both cost a pass through the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    low: f64,
    high: f64,
}

impl Default for Interval {
    /// Everywhere.
    fn default() -> Self {
        Self { low: 0.0, high: f64::INFINITY }
    }
}

impl Interval {
    /// 0 ≤ low < high; high may be infinite.
    pub fn new(low: f64, high: f64) -> Result<Self, SampleError> {
        match low >= 0.0 && low < high {
            true => Ok(Self { low, high }),
            false => Err(SampleError::Setting(format!("interval {low} to {high}: must be 0 <= low < high"))),
        }
    }

    /// Whether guidance applies at this ᾱ.
    pub fn contains(&self, alpha_bar: f64) -> bool {
        let sigma = ((1.0 - alpha_bar) / alpha_bar).sqrt();
        self.low < sigma && sigma <= self.high
    }
}
