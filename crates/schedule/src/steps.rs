//! The steps of a sampler: its timesteps and noise levels.

use crate::error::ScheduleError;
use crate::noise::NoiseSchedule;

/// N timesteps at which the network is evaluated, their ᾱ, and the ᾱ at which the last step ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    timesteps: Vec<usize>,
    alpha_bars: Vec<f64>,
}

impl Steps {
    /// The steps between these timesteps of a schedule, and from the last to ᾱ = 1.
    ///
    /// Errors: no timestep, one beyond T-1, a list that does not fall strictly.
    pub fn new(schedule: &NoiseSchedule, timesteps: &[usize]) -> Result<Self, ScheduleError> {
        let falls = timesteps.windows(2).all(|pair| pair[0] > pair[1]);
        if !falls || timesteps.first().is_none_or(|&t| t >= schedule.len()) {
            let last = schedule.len() - 1;
            let reason =
                format!("{timesteps:?} must fall strictly from at most {last}, at least one of them");
            return Err(ScheduleError::List(reason));
        }
        let alpha_bars = timesteps.iter().map(|&t| schedule.alpha_bar(t)).chain([1.0]).collect();
        Ok(Self { timesteps: timesteps.to_vec(), alpha_bars })
    }

    /// Steps between given noise levels. `alpha_bars` has one value more than `timesteps`. Its values lie
    /// in [0, 1] and never fall; only the last may be 1.
    ///
    /// The network gets the timesteps; several steps may share one. A step between two equal levels changes
    /// nothing, except for the second of the two steps that [`Heun`](crate::Heun) takes in an interval.
    /// Errors: no timestep, a wrong number of levels, levels that fall or lie outside the range.
    pub fn from_levels(timesteps: Vec<usize>, alpha_bars: Vec<f64>) -> Result<Self, ScheduleError> {
        let rises = alpha_bars.windows(2).all(|pair| pair[0] <= pair[1] && pair[0] < 1.0);
        let within = alpha_bars.first().is_some_and(|&a| a >= 0.0) && alpha_bars.last() <= Some(&1.0);
        if timesteps.is_empty() || alpha_bars.len() != timesteps.len() + 1 || !rises || !within {
            let (t, a) = (timesteps.len(), alpha_bars.len());
            let reason =
                format!("{a} levels of alpha_bar for {t} timesteps must be one more and rise to at most 1");
            return Err(ScheduleError::List(reason));
        }
        Ok(Self { timesteps, alpha_bars })
    }

    /// The last `count` of the steps: at least one, at most all.
    pub fn last(&self, count: usize) -> Self {
        let first = self.len() - count.clamp(1, self.len());
        Self { timesteps: self.timesteps[first..].to_vec(), alpha_bars: self.alpha_bars[first..].to_vec() }
    }

    /// N, the number of steps.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one step")]
    pub fn len(&self) -> usize {
        self.timesteps.len()
    }

    /// The timesteps, N of them.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// ᾱ at each timestep and at the end, N + 1 of them, never falling.
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }
}
