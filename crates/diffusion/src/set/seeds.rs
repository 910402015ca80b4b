//! Which seeds of a class are drawn, and which of their images are kept: the first ones that are right.

use crate::error::Result;
use duet_sample::Seeds;
use std::collections::{HashMap, HashSet};

/// A class is given up of which not one in so many images is right.
pub const MOST_DRAWN: usize = 20;

/// The seeds of a class in their order, and what is known of their images.
///
/// What is kept depends on the images alone: neither on how many are drawn at once, nor on where the work was
/// interrupted.
pub struct ClassSeeds {
    /// Images to keep.
    count: usize,
    /// Seeds that may be drawn; without a list from 0 on.
    list: Option<Vec<u64>>,
    /// How many those are.
    most: usize,
    /// Whether the image of a seed is right.
    known: HashMap<u64, bool>,
}

/// What a class has so far.
#[derive(Debug, PartialEq)]
pub struct Standing {
    /// The seeds of the images that are kept.
    pub kept: Vec<u64>,
    /// The seeds of those that are not: of a whole class, up to the last one that is kept.
    pub wrong: Vec<u64>,
    /// Whether nothing is missing.
    pub is_whole: bool,
}

impl ClassSeeds {
    /// For `count` images. Where they need not be right, as many are drawn.
    pub fn new(count: usize, seeds: Option<&Seeds>, only_right: bool) -> Self {
        let mut seen = HashSet::new();
        let list = seeds.map(|seeds| seeds.to_vec().into_iter().filter(|&seed| seen.insert(seed)).collect());
        let tried =
            if only_right { count.saturating_mul(MOST_DRAWN).min(Seeds::MOST as usize) } else { count };
        let most = list.as_ref().map_or(tried, |list: &Vec<u64>| list.len().min(tried));
        Self { count, list, most, known: HashMap::new() }
    }

    /// How many images may be drawn.
    pub fn most(&self) -> usize {
        self.most
    }

    fn all(&self) -> impl Iterator<Item = u64> {
        (0..self.most).map(|i| self.list.as_ref().map_or(i as u64, |list| list[i]))
    }

    /// Whether the seed is one of those that may be drawn.
    pub fn has(&self, seed: u64) -> bool {
        match &self.list {
            Some(list) => list[..self.most].contains(&seed),
            None => seed < self.most as u64,
        }
    }

    /// Notes whether the image of a seed is right.
    pub fn learn(&mut self, seed: u64, is_right: bool) {
        self.known.insert(seed, is_right);
    }

    /// What there is.
    pub fn standing(&self) -> Standing {
        let mut standing = Standing { kept: Vec::new(), wrong: Vec::new(), is_whole: self.count == 0 };
        let mut all_known = true;
        for seed in self.all() {
            match self.known.get(&seed) {
                Some(true) => standing.kept.push(seed),
                Some(false) => standing.wrong.push(seed),
                None => all_known = false,
            }
            if standing.kept.len() == self.count {
                standing.is_whole = all_known;
                break;
            }
        }
        standing
    }

    /// The seeds to be drawn next, the first ones of which nothing is known: about as many as bring what is missing,
    /// by the share that was right so far, and `most` at most. None where the class is whole, or given up.
    pub fn next(&self, most: usize) -> Vec<u64> {
        let right = self.known.values().filter(|&&is_right| is_right).count();
        let rate = (right + 1) as f64 / (self.known.len() + 1) as f64;
        let (mut next, mut expected) = (Vec::new(), 0.0);
        for seed in self.all() {
            if next.len() == most || expected >= self.count as f64 {
                break;
            }
            match self.known.get(&seed) {
                Some(true) => expected += 1.0,
                Some(false) => {}
                None => {
                    next.push(seed);
                    expected += rate;
                }
            }
        }
        next
    }
}

/// The seeds as ranges; none where there are none.
pub fn ranges(seeds: &[u64]) -> Result<Option<Seeds>> {
    let mut ranges: Vec<std::ops::RangeInclusive<u64>> = Vec::new();
    for &seed in seeds {
        match ranges.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(seed) => *last = *last.start()..=seed,
            _ => ranges.push(seed..=seed),
        }
    }
    Ok(if ranges.is_empty() { None } else { Some(Seeds::new(ranges)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws until nothing is to be drawn, `at_once` at once; the class, and how many were drawn.
    fn drawn(mut seeds: ClassSeeds, at_once: usize, is_right: impl Fn(u64) -> bool) -> (Standing, usize) {
        let mut count = 0;
        loop {
            let next = seeds.next(at_once);
            if next.is_empty() {
                return (seeds.standing(), count);
            }
            count += next.len();
            next.into_iter().for_each(|seed| seeds.learn(seed, is_right(seed)));
        }
    }

    #[test]
    fn the_first_right_ones_are_kept_however_many_are_drawn_at_once() {
        let of = |at_once| drawn(ClassSeeds::new(10, None, true), at_once, |seed| seed % 3 != 0);
        let (first, _) = of(1);
        assert_eq!(first.kept, [1, 2, 4, 5, 7, 8, 10, 11, 13, 14]);
        assert_eq!((first.wrong.as_slice(), first.is_whole), (&[0, 3, 6, 9, 12][..], true));
        for at_once in [2, 7, 64] {
            let (standing, count) = of(at_once);
            assert_eq!(standing, first, "{at_once}");
            assert!(count <= 30, "{count} drawn for 10");
        }
    }

    #[test]
    fn without_a_judge_just_as_many_are_drawn() {
        let (standing, count) = drawn(ClassSeeds::new(10, None, false), 64, |_| true);
        assert_eq!((standing.kept, count), ((0..10).collect(), 10));
        let listed = "7,3,7-9".parse().unwrap();
        assert_eq!(ClassSeeds::new(9, Some(&listed), false).most(), 4, "7 comes twice");
        let (standing, _) = drawn(ClassSeeds::new(3, Some(&listed), false), 2, |_| true);
        assert_eq!(standing.kept, [7, 3, 8]);
    }

    #[test]
    fn a_class_that_is_never_right_is_given_up() {
        let (standing, count) = drawn(ClassSeeds::new(5, None, true), 64, |_| false);
        assert_eq!((standing.kept.len(), standing.is_whole, count), (0, false, 5 * MOST_DRAWN));
        let (standing, count) = drawn(ClassSeeds::new(5, None, true), 64, |seed| seed == 90);
        assert_eq!((standing.kept.len(), standing.is_whole, count), (1, false, 5 * MOST_DRAWN));
    }

    #[test]
    fn what_is_missing_in_between_is_drawn_again_and_nothing_else() {
        let mut seeds = ClassSeeds::new(6, None, true);
        for (seed, is_right) in [(0, true), (1, false), (2, true), (4, true), (5, true), (6, true), (7, true)]
        {
            seeds.learn(seed, is_right);
        }
        assert!(!seeds.standing().is_whole);
        assert_eq!(seeds.next(64), [3]);
        seeds.learn(3, false);
        assert_eq!(seeds.standing().kept, [0, 2, 4, 5, 6, 7]);
        assert!(seeds.standing().is_whole && seeds.next(64).is_empty());
    }

    #[test]
    fn lists_of_seeds_are_short() {
        assert_eq!(ranges(&[]).unwrap(), None);
        assert_eq!(
            ranges(&[3, 4, 5, 9, 8, u64::MAX]).unwrap().unwrap().to_string(),
            format!("3-5,9,8,{}", u64::MAX)
        );
    }
}
