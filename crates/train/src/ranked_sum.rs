//! The sum of a step's gradients over the ranks that train together.

use duet_model::PartialGradients;
use duet_ranks::{Channel, RankError, Ranks, Term, TreeSum, shares};
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

    /// The whole sum, at every rank, of the parts that the ranks have added.
    pub fn total(&self, part: TreeSum<PartialGradients>) -> Result<PartialGradients, RankError> {
        let shares = shares(part.terms(), &self.threads);
        let total = self.ranks.sum(part, &shares)?;
        if self.ranks.size() == 1 {
            return Ok(total.unwrap_or_default());
        }
        let bytes = total.as_ref().map(PartialGradients::to_bytes);
        let bytes = self.ranks.broadcast(Channel::Total, bytes)?;
        match total {
            Some(total) => Ok(total),
            None => {
                PartialGradients::from_bytes(&bytes).map_err(|reason| RankError::Message { rank: 0, reason })
            }
        }
    }
}
