//! The sum of a step's gradients over the ranks that train together.

use crate::error::TrainError;
use duet_model::{ModelError, Parameters, PartialGradients, ValueAndGradients, gradients_of};
use duet_ranks::{Addend, Ranks, TreeSum, shares};
use std::ops::Range;

/// The ranks that train together, and how much of a step each takes.
#[derive(Debug)]
pub(crate) struct RankedSum {
    ranks: Ranks,
    /// Threads of each rank.
    threads: Vec<usize>,
}

impl RankedSum {
    pub fn alone() -> Self {
        Self::new(Ranks::alone(), vec![1])
    }

    pub fn new(ranks: Ranks, threads: Vec<usize>) -> Self {
        Self { ranks, threads }
    }

    /// Which images of a step this rank takes; the step's chunks lie one behind the other.
    pub fn own_images(&self, chunks: &[Range<usize>]) -> Range<usize> {
        let own = shares(chunks.len(), &self.threads)[self.ranks.rank()].clone();
        match own.is_empty() {
            true => 0..0,
            false => chunks[own.start].start..chunks[own.end - 1].end,
        }
    }

    /// The step's value and gradients, at every rank, of the parts that the ranks have added.
    pub fn total(
        &self,
        part: TreeSum<PartialGradients>,
        parameters: &Parameters,
    ) -> Result<ValueAndGradients, TrainError> {
        if self.ranks.size() == 1 {
            return Ok(part.total().unwrap_or_default().by_name(parameters)?);
        }
        let shares = shares(part.terms(), &self.threads);
        let addend = |partial: PartialGradients| {
            let (number, values) = partial.into_values(parameters)?;
            Ok::<_, ModelError>(Addend { number, values })
        };
        let len = parameters.trainable().map(|(_, var)| var.elem_count()).sum();
        let total = self.ranks.sum(part.try_map(addend)?, &shares, len)?;
        Ok((total.number, gradients_of(parameters, |range| total.values(range))?))
    }
}
