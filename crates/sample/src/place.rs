//! Where on its way a trajectory is, as guidance sees it.

/// Where on its way a trajectory is: its intervals lie from one noise level to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Intervals before this one.
    pub interval: usize,
    /// Intervals in all.
    pub intervals: usize,
    /// Whether the network is asked at the end of the interval, at whose start it was asked before, as the
    /// second time in [`Heun`](duet_schedule::Heun). What is remembered from interval to
    /// interval is what the first time left.
    pub at_end: bool,
    /// t, as the network is told.
    pub timestep: usize,
    /// ᾱ where the network is asked.
    pub alpha_bar: f64,
}

impl Place {
    /// Noise levels before the one where the network is asked.
    pub(crate) fn level(&self) -> usize {
        self.interval + usize::from(self.at_end)
    }
}
