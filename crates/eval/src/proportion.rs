//! Orders and halves of images in which every class has its share.

use duet_random::Draws;
use std::collections::BTreeMap;

/// 0..n in an order whose every beginning has about as much of each class as the whole; `classes` (n). Within a class
/// the order is drawn, a function of the seed.
pub fn in_proportion(classes: &[u32], seed: u64) -> Vec<usize> {
    ranked(classes, seed).into_iter().map(|(i, _)| i).collect()
}

/// 0..n in two parts that do not meet, each with half of every class and in the order of [`in_proportion`]. Where a
/// class has an odd number, the first part has one more.
pub fn halves(classes: &[u32], seed: u64) -> [Vec<usize>; 2] {
    let (even, odd): (Vec<_>, Vec<_>) =
        ranked(classes, seed).into_iter().partition(|(_, rank)| rank % 2 == 0);
    [even, odd].map(|half| half.into_iter().map(|(i, _)| i).collect())
}

/// Each place and its rank in its class, in the order of the share of the class that is before it.
fn ranked(classes: &[u32], seed: u64) -> Vec<(usize, usize)> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for i in Draws::new(seed, "order in proportion", 0).permutation(classes.len() as u32) {
        members.entry(classes[i as usize]).or_default().push(i as usize);
    }
    let mut places: Vec<(f64, usize, usize)> = members
        .values()
        .flat_map(|of_class| {
            let share = |rank: usize| (rank as f64 + 0.5) / of_class.len() as f64;
            of_class.iter().enumerate().map(move |(rank, &i)| (share(rank), i, rank))
        })
        .collect();
    // The sort is stable: equal shares stay in the order of their classes.
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    places.into_iter().map(|(_, i, rank)| (i, rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_and_each_half_has_its_share_of_each_class() {
        // 700 of class 0, 200 of class 3 and 101 of class 7, sorted.
        let classes: Vec<u32> =
            [(0, 700), (3, 200), (7, 101)].into_iter().flat_map(|(class, n)| vec![class; n]).collect();
        let order = in_proportion(&classes, 0);
        let mut all = order.clone();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1001));
        assert_ne!(order, in_proportion(&classes, 1));
        for length in [50, 100, 500, 900] {
            for (class, count) in [(0, 700), (3, 200), (7, 101)] {
                let found = order[..length].iter().filter(|&&i| classes[i] == class).count() as f64;
                assert!((found - (length * count) as f64 / 1001.0).abs() < 1.5, "{found} of class {class}");
            }
        }
        let [first, second] = halves(&classes, 0);
        assert_eq!((first.len(), second.len()), (501, 500));
        assert!(first.iter().all(|i| !second.contains(i)));
        assert_eq!(second.iter().filter(|&&i| classes[i] == 7).count(), 50);
    }
}
