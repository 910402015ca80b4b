//! When a run begins to copy its training images, and which of its checkpoints is from before.

/// Copies have risen where chance alone makes as many in fewer than one measurement of a thousand: a run is measured
/// some tens of times, and is not to be warned of noise.
pub const RISEN: f64 = 1e-3;
/// A measurement shows nothing of it where chance alone makes as many in one of twenty.
const UNSUSPICIOUS: f64 = 0.05;

/// The measurements of a run, as far as they decide when copies rose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rise {
    /// The last step before the rise whose measurement shows nothing of it.
    pub before: Option<u64>,
    /// The first step at which copies have risen.
    pub at: Option<u64>,
}

impl Rise {
    /// Of steps in rising order, each with the p-value of its copies.
    pub fn of(measured: impl IntoIterator<Item = (u64, f64)>) -> Self {
        let mut rise = Self::default();
        for (step, p) in measured {
            rise.note(step, p);
        }
        rise
    }

    /// Adds a measurement; whether copies have risen at it for the first time.
    pub fn note(&mut self, step: u64, p: f64) -> bool {
        if self.at.is_some() {
            return false;
        }
        if p < RISEN {
            self.at = Some(step);
        } else if p >= UNSUSPICIOUS {
            self.before = Some(step);
        }
        self.at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_significant_measurement_is_the_rise_and_the_last_unsuspicious_one_is_before_it() {
        let rise = Rise::of([(10, 0.6), (20, 0.3), (30, 0.01), (40, 1e-4), (50, 0.9), (60, 1e-9)]);
        assert_eq!(rise, Rise { before: Some(20), at: Some(40) });
        assert_eq!(Rise::of([(10, 1e-6), (20, 1.0)]), Rise { before: None, at: Some(10) });
        assert_eq!(Rise::of([(10, 1.0), (20, 0.002)]), Rise { before: Some(10), at: None });
        assert_eq!(Rise::of([]), Rise::default());
        let mut rise = Rise::of([(10, 1.0)]);
        assert_eq!([rise.note(20, 1e-9), rise.note(30, 1e-9)], [true, false]);
    }
}
