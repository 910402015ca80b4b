//! Sums along a binary tree over the numbers of their terms.

use crate::error::RankError;
use crate::ranks::{Channel, Ranks};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A term of a sum that travels between ranks.
pub trait Term: Sized + Send {
    /// Adds the term that follows.
    fn add(&mut self, next: Self);

    /// As bytes, from which [`Term::from_bytes`] makes the same.
    fn to_bytes(&self) -> Vec<u8>;

    /// From what another rank sent.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String>;
}

/// A node of the tree: it adds the terms from `place`·2^`level` on, 2^`level` of them or as many as there are.
type Node = (u32, usize);

/// A sum of terms that arrive in any order, from any thread, and are added in one order: that of a binary tree over
/// their numbers. A node is the sum of its left half and then its right half.
///
/// The result depends neither on the order of arrival nor on who adds which part (pairwise summation; its error grows
/// with the logarithm of the number of terms, Higham 1993). At most one term for each level and thread waits.
///
/// ```
/// use duet_ranks::TreeSum;
/// let sum = TreeSum::new(3);
/// for term in [2, 0, 1] {
///     sum.add(term, 10f32.powi(term as i32), |a, b| *a += b);
/// }
/// assert_eq!(sum.total(), Some(111.0));
/// ```
#[derive(Debug)]
pub struct TreeSum<T> {
    terms: usize,
    nodes: Mutex<BTreeMap<Node, T>>,
}

impl<T> TreeSum<T> {
    /// A sum of so many terms, of which some may be added elsewhere.
    pub fn new(terms: usize) -> Self {
        Self { terms, nodes: Mutex::new(BTreeMap::new()) }
    }

    /// How many terms the sum has.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// Adds a term by its number, below that of terms; each number once. `add` adds the second to the first. It runs on this
    /// thread, and no other thread waits for it.
    pub fn add(&self, number: usize, term: T, add: impl Fn(&mut T, T)) {
        let (mut node, mut sum) = ((0, number), term);
        loop {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            let (level, place) = node;
            if level == levels(self.terms) {
                nodes.insert(node, sum);
                return;
            }
            if first((level, place ^ 1)) < self.terms {
                let Some(sibling) = nodes.remove(&(level, place ^ 1)) else {
                    nodes.insert(node, sum);
                    return;
                };
                drop(nodes);
                let (mut left, right) = if place % 2 == 0 { (sum, sibling) } else { (sibling, sum) };
                add(&mut left, right);
                sum = left;
            }
            node = (level + 1, place / 2);
        }
    }

    /// The whole sum; none where a term is missing, or where there is none.
    pub fn total(self) -> Option<T> {
        let root = (levels(self.terms), 0);
        self.into_nodes().remove(&root)
    }

    fn into_nodes(self) -> BTreeMap<Node, T> {
        self.nodes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Levels above the terms.
fn levels(terms: usize) -> u32 {
    terms.next_power_of_two().trailing_zeros()
}

/// The first term of a node.
fn first((level, place): Node) -> usize {
    place << level
}

/// Which terms each rank adds: neighbours, as many as fit its weight, such as its number of threads. Rank 0 has the first
/// term.
pub fn shares(terms: usize, weights: &[usize]) -> Vec<Range<usize>> {
    let all = weights.iter().sum::<usize>().max(1);
    let mut before = 0;
    let starts = weights.iter().map(|weight| {
        let start = (terms * before).div_ceil(all);
        before += weight;
        start
    });
    let mut bounds: Vec<usize> = starts.collect();
    bounds.push(terms);
    bounds.windows(2).map(|bounds| bounds[0]..bounds[1]).collect()
}

impl Ranks {
    /// The whole sum at rank 0, of the parts that the ranks have added: each has all terms of its share. The others get none.
    ///
    /// A node is added by the rank that has its first term. So neighbours add first, and a sum passes at most as many
    /// ranks as the tree has levels.
    ///
    /// # Errors
    /// A rank that is lost or has failed, or that sent something else.
    pub fn sum<T: Term>(&self, part: TreeSum<T>, shares: &[Range<usize>]) -> Result<Option<T>, RankError> {
        let terms = part.terms;
        let mut sum = Summing { ranks: self, shares, terms, nodes: part.into_nodes() };
        sum.node((levels(terms), 0))
    }
}

struct Summing<'a, T> {
    ranks: &'a Ranks,
    shares: &'a [Range<usize>],
    terms: usize,
    nodes: BTreeMap<Node, T>,
}

impl<T: Term> Summing<'_, T> {
    /// The sum of a node, if this rank has its first term.
    fn node(&mut self, node: Node) -> Result<Option<T>, RankError> {
        if let Some(sum) = self.nodes.remove(&node) {
            return Ok(Some(sum));
        }
        let (level, place) = node;
        if level == 0 || !self.has_terms(node) {
            return Ok(None);
        }
        let (left, right) = ((level - 1, 2 * place), (level - 1, 2 * place + 1));
        if first(right) >= self.terms {
            return self.node(left);
        }
        let sums = (self.node(left)?, self.node(right)?);
        let (to, from) = (self.owner(left), self.owner(right));
        match sums {
            (Some(mut sum), Some(next)) => {
                sum.add(next);
                Ok(Some(sum))
            }
            (Some(mut sum), None) => {
                let bytes = self.ranks.receive(from, Channel::Sum)?;
                let next = T::from_bytes(&bytes);
                sum.add(next.map_err(|reason| RankError::Message { rank: from, reason })?);
                Ok(Some(sum))
            }
            (None, Some(sum)) => {
                self.ranks.send(to, Channel::Sum, sum.to_bytes());
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }

    /// Whether this rank has terms of a node.
    fn has_terms(&self, node: Node) -> bool {
        let (level, _) = node;
        let (mine, from) = (&self.shares[self.ranks.rank()], first(node));
        mine.start < (from + (1 << level)) && from < mine.end
    }

    /// The rank that adds a node.
    fn owner(&self, node: Node) -> usize {
        let first = first(node);
        self.shares.iter().position(|share| share.contains(&first)).unwrap_or(0)
    }
}
