//! How often each timestep is drawn.

use serde::{Deserialize, Serialize};

/// How often each timestep is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSampling {
    /// All timesteps equally often; the loss is weighted (Ho et al. 2020).
    #[default]
    Uniform,
    /// In proportion to the weights of the loss; then all timesteps count the same. The objective is the
    /// same, but no steps are wasted on timesteps that hardly count.
    Weighted,
}

/// Draws timesteps in proportion to their weights.
#[derive(Debug, Clone)]
pub(crate) struct WeightedTimesteps {
    /// The sums of the weights up to each timestep.
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

    /// The timestep that contains the share `share` of the total weight, in [0, 1).
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
