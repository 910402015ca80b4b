//! How often each timestep is drawn.

use serde::{Deserialize, Serialize};

/// How often each timestep is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSampling {
    /// All alike, and the loss is weighted (Ho et al. 2020).
    #[default]
    Uniform,
    /// As often as the loss weighs it, and then all count the same: the same objective, without steps
    /// that are spent on what hardly counts.
    Weighted,
}

/// Timesteps drawn as often as they weigh.
#[derive(Debug, Clone)]
pub(crate) struct WeightedTimesteps {
    /// Sums of the weights up to each timestep.
    sums: Vec<f64>,
}

impl WeightedTimesteps {
    pub fn new(weights: &[f64]) -> Self {
        let add = |sum: &mut f64, weight: &f64| {
            *sum += weight;
            Some(*sum)
        };
        Self { sums: weights.iter().scan(0.0, add).collect() }
    }

    /// The timestep at which `share`, at least 0 and below 1, of all weight lies below.
    pub fn at(&self, share: f64) -> usize {
        let wanted = share * self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|sum| *sum <= wanted).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_of_the_weight_is_in_one_timestep() {
        let weighted = WeightedTimesteps::new(&[0.0, 1.0, 0.0, 2.5, 0.5]);
        let counts = (0..4000).map(|i| weighted.at(f64::from(i) / 4000.0)).fold([0; 5], |mut counts, t| {
            counts[t] += 1;
            counts
        });
        assert_eq!(counts, [0, 1000, 0, 2500, 500]);
        assert_eq!(weighted.at(1.0 - f64::EPSILON), 4);
    }
}
