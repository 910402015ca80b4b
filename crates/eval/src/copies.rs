//! Which points copy a training image: the criterion of Yoon et al. (2023).

use crate::error::EvalError;
use crate::features::{Features, check_dims};
use crate::fisher::{Share, fisher_greater};
use crate::pairs::{SquaredDifference, map_rows};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A copy is closer to a training image than this share of its distance to the next one.
pub const COPY_RATIO: f64 = 1.0 / 3.0;

/// For each of `points` (n, d), whether it copies a row of `training` (t, d): d_1/d_2 < 1/3, where d_1 and d_2 are its
/// distances to the nearest row and to the nearest *other* row (Yoon et al. 2023, section 3; Bonnaire et al. 2025
/// count the same share).
///
/// Rows that are equal count as one, because a training image that is there twice would hide its copies (d_1 = d_2).
/// The ratio does not depend on how close the images of a class are to each other, as a distance alone does.
/// None where all training rows are equal: there is no second distance.
///
/// Errors: rows of different lengths.
pub fn copies(points: &Features, training: &Features) -> Result<Option<Vec<bool>>, EvalError> {
    check_dims(points, training)?;
    let first = first_of_equals(training);
    if first.iter().all(|&row| row == 0) {
        return Ok(None);
    }
    let is_copy = |_: usize, squares: &mut [f64]| {
        let nearest = (0..squares.len()).min_by(|&a, &b| squares[a].total_cmp(&squares[b])).unwrap_or(0);
        let others = squares.iter().zip(&first).filter(|(_, row)| **row != first[nearest]);
        let second = others.map(|(square, _)| *square).fold(f64::INFINITY, f64::min);
        squares[nearest] < COPY_RATIO * COPY_RATIO * second
    };
    Ok(Some(map_rows(points, training, SquaredDifference, is_copy)))
}

/// For each row the first one that is equal to it.
fn first_of_equals(rows: &Features) -> Vec<usize> {
    let mut seen: HashMap<u64, Vec<usize>> = HashMap::new();
    let first = |(i, row): (usize, &[f32])| {
        let mut hasher = DefaultHasher::new();
        // Both zeros are equal.
        row.iter().for_each(|value| (value + 0.0).to_bits().hash(&mut hasher));
        let alike = seen.entry(hasher.finish()).or_default();
        match alike.iter().find(|&&other| rows.row(other) == row) {
            Some(&other) => other,
            None => {
                alike.push(i);
                i
            }
        }
    };
    rows.rows().enumerate().map(first).collect()
}

/// How many samples are copies, beside how many held-out images seem to be.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyCounts {
    /// Of all.
    pub all: CopyCount,
    /// Of each class that there is an image of.
    pub by_class: BTreeMap<u32, CopyCount>,
}

/// Copies among samples and among held-out images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyCount {
    /// Of the samples.
    pub samples: Share,
    /// Of the held-out images, which nobody copied: what chance and twins among the real images make.
    pub held_out: Share,
}

impl CopyCount {
    /// The probability that samples which copy no more than held-out images do have this many copies, or more
    /// (Fisher's exact test, one-sided).
    pub fn p_value(&self) -> f64 {
        fisher_greater(self.samples, self.held_out)
    }
}

impl CopyCounts {
    /// Of which sample and which held-out image is a copy ([`copies`]), and the class of each.
    ///
    /// Errors: not one class for each image.
    pub fn new(samples: (&[bool], &[u32]), held_out: (&[bool], &[u32])) -> Result<Self, EvalError> {
        for (what, (copies, classes)) in
            [("classes of samples", samples), ("classes of held-out images", held_out)]
        {
            if copies.len() != classes.len() {
                return Err(EvalError::Counts { what, left: classes.len(), right: copies.len() });
            }
        }
        let mut counts = Self { all: CopyCount::default(), by_class: BTreeMap::new() };
        let mut add = |(copies, classes): (&[bool], &[u32]), share: fn(&mut CopyCount) -> &mut Share| {
            for (&is_copy, &class) in copies.iter().zip(classes) {
                share(&mut counts.all).add(is_copy);
                share(counts.by_class.entry(class).or_default()).add(is_copy);
            }
        };
        add(samples, |count| &mut count.samples);
        add(held_out, |count| &mut count.held_out);
        Ok(counts)
    }
}
