//! The place of a step in its trajectory.

/// The place of a step in its trajectory. An interval goes from one noise level to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Intervals before this one.
    pub interval: usize,
    /// The number of all intervals.
    pub intervals: usize,
    /// Whether the network is evaluated at the end of the interval, after an evaluation at its start. This
    /// is the second evaluation of [`Heun`](duet_schedule::Heun). Only the first evaluation changes what is
    /// remembered for the next interval.
    pub at_end: bool,
    /// t, which the network gets.
    pub timestep: usize,
    /// ᾱ at which the network is evaluated.
    pub alpha_bar: f64,
}

impl Place {
    /// σ = √((1-ᾱ)/ᾱ), the noise level at which the network is evaluated; infinite where ᾱ = 0.
    pub fn sigma(&self) -> f64 {
        ((1.0 - self.alpha_bar) / self.alpha_bar).sqrt()
    }

    /// The number of noise levels before the one of this evaluation.
    pub(crate) fn level(&self) -> usize {
        self.interval + usize::from(self.at_end)
    }
}
