//! The binary tree over the ranks along which all of them get what rank 0 says.

/// The rank from which this one gets what rank 0 says; none for rank 0.
pub(crate) fn parent(rank: usize) -> Option<usize> {
    (rank > 0).then(|| rank & (rank - 1))
}

/// The ranks to which this one passes it on, those with the most behind them first.
pub(crate) fn children(rank: usize, size: usize) -> impl Iterator<Item = usize> {
    let steps = if rank == 0 { usize::BITS } else { rank.trailing_zeros() };
    let reachable = steps.min(size.next_power_of_two().trailing_zeros());
    (0..reachable).rev().map(move |step| rank + (1 << step)).filter(move |&child| child < size)
}
