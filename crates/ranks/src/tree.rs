//! Sums along a binary tree over the numbers of their terms.

use crate::error::RankError;
use crate::ranks::{Block, Channel, Ranks};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A term of a sum over ranks: a number, and values of which all terms have as many.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Addend {
    /// The number.
    pub number: f64,
    /// The values.
    pub values: Vec<f32>,
}

impl Addend {
    /// Adds the term that follows, each value to its own.
    pub fn add(&mut self, next: Self) {
        self.number += next.number;
        self.values.iter_mut().zip(next.values).for_each(|(sum, value)| *sum += value);
    }
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

    /// Moves what was added so far into a new sum. This one is empty then.
    pub fn take(&self) -> Self {
        let nodes = std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner));
        Self { terms: self.terms, nodes: Mutex::new(nodes) }
    }

    /// The whole sum; none where a term is missing, or where there is none.
    pub fn total(self) -> Option<T> {
        let root = (levels(self.terms), 0);
        self.into_nodes().remove(&root)
    }

    /// The same sum with each of its nodes changed.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_map<U, E>(self, mut change: impl FnMut(T) -> Result<U, E>) -> Result<TreeSum<U>, E> {
        let terms = self.terms;
        let nodes = self.into_nodes().into_iter().map(|(node, sum)| Ok((node, change(sum)?)));
        Ok(TreeSum { terms, nodes: Mutex::new(nodes.collect::<Result<_, E>>()?) })
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

/// A sum that all ranks have, in the slices in which it was added.
#[derive(Debug)]
pub struct Total {
    /// The number.
    pub number: f64,
    /// The place of a slice's first value, and the slice.
    slices: Vec<(usize, Values)>,
}

impl Total {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slices.last().map_or(0, |(first, slice)| first + slice.len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the values; those of the range that there are.
    pub fn values(&self, range: Range<usize>) -> Vec<f32> {
        let mut values = Vec::with_capacity(range.len().min(self.len()));
        for (first, slice) in &self.slices {
            let (start, end) = (range.start.max(*first), range.end.min(first + slice.len()));
            if start < end {
                values.extend_from_slice(&slice.get()[start - first..end - first]);
            }
        }
        values
    }
}

impl From<Total> for Addend {
    fn from(total: Total) -> Self {
        Self { number: total.number, values: total.values(0..total.len()) }
    }
}

/// Values that were made here, or in a message as it came.
#[derive(Debug)]
enum Values {
    Here(Arc<Vec<f32>>, Range<usize>),
    Came(Arc<Vec<u8>>, Range<usize>),
}

impl Values {
    fn of(values: Vec<f32>) -> Self {
        let range = 0..values.len();
        Self::Here(Arc::new(values), range)
    }

    /// Those of a message that came, whose bytes may begin anywhere in memory.
    fn came(bytes: &Arc<Vec<u8>>, range: Range<usize>) -> Self {
        match bytemuck::try_cast_slice::<u8, f32>(&bytes[range.clone()]) {
            Ok(_) => Self::Came(bytes.clone(), range),
            Err(_) => {
                let values = bytes[range].as_chunks().0.iter();
                Self::of(values.map(|&value| f32::from_le_bytes(value)).collect())
            }
        }
    }

    fn get(&self) -> &[f32] {
        match self {
            Self::Here(values, range) => &values[range.clone()],
            Self::Came(bytes, range) => bytemuck::cast_slice(&bytes[range.clone()]),
        }
    }

    fn len(&self) -> usize {
        self.get().len()
    }

    /// The sum with the values that follow, each with its own.
    fn plus(mut self, next: &Self) -> Self {
        // Values that nobody else needs become the sum.
        if let Self::Here(values, range) = &mut self
            && let Some(sums) = Arc::get_mut(values)
        {
            sums[range.clone()].iter_mut().zip(next.get()).for_each(|(sum, next)| *sum += next);
            return self;
        }
        Self::of(self.get().iter().zip(next.get()).map(|(first, next)| first + next).collect())
    }
}

/// A slice of a node.
#[derive(Debug)]
struct Slice {
    number: f64,
    values: Values,
}

/// A sum to which this rank has given its part.
#[must_use = "every sum that was begun is finished"]
#[derive(Debug)]
pub struct BegunSum {
    nodes: Vec<(Node, f64, Arc<Vec<f32>>)>,
    terms: usize,
    len: usize,
    /// The ranks that have terms.
    adding: Vec<usize>,
}

impl BegunSum {
    /// The values that the i-th of the ranks with terms adds.
    fn slice(&self, i: usize) -> Range<usize> {
        i * self.len / self.adding.len()..(i + 1) * self.len / self.adding.len()
    }
}

impl Ranks {
    /// The whole sum at every rank, of the parts that the ranks have added: each has all terms of its share, and a term has
    /// `len` values.
    ///
    /// Each rank that has terms adds a slice of the values: it gets that slice of all nodes from the others, adds them
    /// along the tree, and sends the sum of the slice to all. So each rank sends and receives about twice the values, however
    /// many ranks there are.
    ///
    /// # Errors
    /// A rank that is lost or has failed, or that sent something else.
    pub fn sum(
        &self,
        part: TreeSum<Addend>,
        shares: &[Range<usize>],
        len: usize,
    ) -> Result<Total, RankError> {
        let sum = self.begin_sum(part, shares, len);
        let own = self.add_slice(&sum)?;
        self.total(&sum, own)
    }

    /// Begins a sum and does not wait for it: what others add of this rank's part goes to them while work goes on.
    ///
    /// All ranks begin the same sums in the same order and finish them all with one [`Ranks::finish_sums`], with no
    /// [`Ranks::sum`] between. The numbers are those of [`Ranks::sum`].
    ///
    /// # Panics
    /// Where a term has another number of values than `len`.
    pub fn begin_sum(&self, part: TreeSum<Addend>, shares: &[Range<usize>], len: usize) -> BegunSum {
        let terms = part.terms();
        let nodes = part.into_nodes().into_iter();
        let nodes = nodes.map(|(node, Addend { number, values })| {
            assert_eq!(values.len(), len, "values of a term");
            (node, number, Arc::new(values))
        });
        let adding: Vec<usize> = (0..self.size()).filter(|&rank| !shares[rank].is_empty()).collect();
        let begun = BegunSum { nodes: nodes.collect(), terms, len, adding };
        if begun.adding.contains(&self.rank()) {
            for to in self.behind(&begun.adding) {
                let range = begun.slice(begun.adding.partition_point(|&rank| rank < to));
                let blocks = begun.nodes.iter().flat_map(|(node, number, values)| {
                    [head(*node, *number), Block::Values(values.clone(), range.clone())]
                });
                self.send_blocks(to, Channel::Sum, blocks.collect());
            }
        }
        begun
    }

    /// The sums that were begun, in the same order at all ranks.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn finish_sums(&self, begun: Vec<BegunSum>) -> Result<Vec<Total>, RankError> {
        let own = begun.iter().map(|sum| self.add_slice(sum)).collect::<Result<Vec<_>, _>>()?;
        begun.iter().zip(own).map(|(sum, own)| self.total(sum, own)).collect()
    }

    /// Other ranks, from the one behind this one on, so that no link gets all at once.
    fn behind(&self, ranks: &[usize]) -> Vec<usize> {
        let (before, after) = ranks.split_at(ranks.partition_point(|&rank| rank <= self.rank()));
        [after, before].concat().into_iter().filter(|&rank| rank != self.rank()).collect()
    }

    /// Adds this rank's slice, if it has one, and sends its sum to all.
    fn add_slice(&self, sum: &BegunSum) -> Result<Option<Slice>, RankError> {
        let own = self.rank();
        let Ok(i) = sum.adding.binary_search(&own) else { return Ok(None) };
        let mine = |(node, number, values): &(Node, f64, Arc<Vec<f32>>)| {
            (*node, Slice { number: *number, values: Values::Here(values.clone(), sum.slice(i)) })
        };
        let mut all: BTreeMap<Node, Slice> = sum.nodes.iter().map(mine).collect();
        for &from in sum.adding.iter().filter(|&&from| from != own) {
            for (node, slice) in self.slices(from, Channel::Sum, sum.slice(i).len())? {
                if all.insert(node, slice).is_some() {
                    return Err(RankError::Message { rank: from, reason: "a node of another rank".into() });
                }
            }
        }
        let root = (levels(sum.terms), 0);
        let missing = || RankError::Message { rank: own, reason: "a term of the sum is missing".into() };
        let Slice { number, values } = node_of(&mut all, sum.terms, root).ok_or_else(missing)?;
        let (values, range) = match values {
            Values::Here(values, range) => (values, range),
            came => (Arc::new(came.get().to_vec()), 0..came.len()),
        };
        let all: Vec<usize> = (0..self.size()).collect();
        for to in self.behind(&all) {
            let blocks = vec![head(root, number), Block::Values(values.clone(), range.clone())];
            self.send_blocks(to, Channel::Total, blocks);
        }
        Ok(Some(Slice { number, values: Values::Here(values, range) }))
    }

    /// All slices of a sum, of which one is this rank's own.
    fn total(&self, sum: &BegunSum, mut own: Option<Slice>) -> Result<Total, RankError> {
        let mut total = Total { number: 0.0, slices: Vec::new() };
        for (i, &from) in sum.adding.iter().enumerate() {
            let slice = match own.take_if(|_| from == self.rank()) {
                Some(own) => own,
                None => {
                    let found = self.slices(from, Channel::Total, sum.slice(i).len())?.pop();
                    let none = || RankError::Message { rank: from, reason: "no sum".into() };
                    found.ok_or_else(none)?.1
                }
            };
            total.number = slice.number;
            total.slices.push((sum.slice(i).start, slice.values));
        }
        Ok(total)
    }

    /// What a rank has sent: nodes, each with so many values.
    fn slices(&self, from: usize, channel: Channel, len: usize) -> Result<Vec<(Node, Slice)>, RankError> {
        let bytes = Arc::new(self.receive(from, channel)?);
        slices_of(&bytes, len).map_err(|reason| RankError::Message { rank: from, reason })
    }
}

/// The sum of a node out of the nodes that are there.
fn node_of(nodes: &mut BTreeMap<Node, Slice>, terms: usize, node: Node) -> Option<Slice> {
    if let Some(sum) = nodes.remove(&node) {
        return Some(sum);
    }
    let (level, place) = node;
    let (left, right) = ((level.checked_sub(1)?, 2 * place), (level - 1, 2 * place + 1));
    let mut sum = node_of(nodes, terms, left)?;
    if first(right) < terms {
        let next = node_of(nodes, terms, right)?;
        sum = Slice { number: sum.number + next.number, values: sum.values.plus(&next.values) };
    }
    Some(sum)
}

/// Bytes before a node's values: its place and number.
const HEAD: usize = 4 + 8 + 8;

/// Level, place and number of a node, little-endian.
fn head((level, place): Node, number: f64) -> Block {
    let bytes = [&level.to_le_bytes()[..], &(place as u64).to_le_bytes(), &number.to_le_bytes()].concat();
    Block::Bytes(Arc::new(bytes))
}

fn slices_of(bytes: &Arc<Vec<u8>>, len: usize) -> Result<Vec<(Node, Slice)>, String> {
    let each = HEAD + 4 * len;
    if !bytes.len().is_multiple_of(each) {
        return Err(format!("{} bytes, and nodes of {each}", bytes.len()));
    }
    let node = |first: usize| {
        let (level, rest) = bytes[first..].split_first_chunk()?;
        let (place, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        let node = (u32::from_le_bytes(*level), u64::from_le_bytes(*place) as usize);
        let values = Values::came(bytes, first + HEAD..first + each);
        Some((node, Slice { number: f64::from_le_bytes(*number), values }))
    };
    Ok((0..bytes.len()).step_by(each).filter_map(node).collect())
}
