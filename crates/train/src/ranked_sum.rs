//! The sum of a step's gradients over the ranks that train together.

use crate::error::TrainError;
use duet_model::{
    Group, ModelError, PartialGradients, Ready, ValueAndGradients, gradients_of, whole_gradients,
};
use duet_ranks::{Addend, Ranks, TreeSum, shares};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

    /// The step's value and gradients, at every rank, of the parts that the ranks add. `parts` gets a function, and
    /// calls it once for each group, in order, as soon as this rank's part of its sum is known; it is none for a rank without
    /// images. While the next group is computed, what others add of this one travels.
    pub fn total(
        &self,
        groups: &[Group],
        terms: usize,
        parts: Option<impl FnOnce(&Ready) -> Result<(), TrainError>>,
    ) -> Result<ValueAndGradients, TrainError> {
        if self.ranks.size() == 1 {
            return whole_gradients(groups, |ready| parts.map_or(Ok(()), |parts| parts(ready)));
        }
        let shares = shares(terms, &self.threads);
        let len = |group: usize| groups[group].iter().map(|(_, var)| var.elem_count()).sum();
        let begun = Mutex::new(Vec::new());
        let begin = |group: usize, sum: TreeSum<PartialGradients>| {
            let addend = |partial: PartialGradients| {
                let (number, values) = partial.into_values(&groups[group])?;
                Ok::<_, ModelError>(Addend { number, values })
            };
            let sum = sum.try_map(addend)?;
            lock(&begun).push(self.ranks.begin_sum(sum, &shares, len(group)));
            Ok(())
        };
        match parts {
            Some(parts) => parts(&begin)?,
            None => (0..groups.len()).try_for_each(|group| begin(group, TreeSum::new(terms)))?,
        }
        let begun = begun.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all = ValueAndGradients::default();
        for (group, total) in groups.iter().zip(self.ranks.finish_sums(begun)?) {
            all.0 += total.number;
            all.1.extend(gradients_of(group, |range| total.values(range))?);
        }
        Ok(all)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
