//! Images and labels of a file, made into the splits of a data set.

use std::path::Path;

use crate::classes;
use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::pixels::Pixels;
use crate::tree::Disk;

/// More classes are no classes but numbers.
pub(crate) const MAX_CLASSES: usize = 10_000;
/// Where there are no images to test with, one in this many of each class is held out.
const HELD_OUT: usize = 10;

/// Images (n, C, H, W) and a label below [`MAX_CLASSES`] for each.
pub(crate) struct Labelled {
    /// Where they are from, for people.
    pub place: String,
    pub shape: Shape,
    pub pixels: Pixels,
    pub labels: Vec<u32>,
}

impl Labelled {
    /// The splits of a set of this name: with the images that are held out, or else with every tenth image of
    /// each class.
    pub(crate) fn splits(
        self,
        (dir, name): (&Path, &str),
        held_out: Option<Self>,
        left_out: Vec<String>,
    ) -> Result<Splits, DataError> {
        let labels = self.labels.iter().chain(held_out.iter().flat_map(|held_out| &held_out.labels));
        let classes = class_names(dir, name, labels.max().map_or(0, |&label| label as usize + 1))?;
        let (train, test) = match held_out {
            Some(held_out) => (self.dataset(&classes)?, held_out.dataset(&classes)?),
            None => divided(&self.dataset(&classes)?),
        };
        Ok(Splits { left_out, ..Splits::new(name, train, test)? })
    }

    fn dataset(self, classes: &[String]) -> Result<Dataset, DataError> {
        Dataset::of_pixels(self.shape, self.pixels, self.labels, classes.to_vec())
    }
}

/// Two sets of one: every tenth image of a class is held out, and of two or more at least one.
pub(crate) fn divided(set: &Dataset) -> (Dataset, Dataset) {
    let counts = set.class_counts();
    let (mut seen, mut parts) = (vec![0usize; counts.len()], [Vec::new(), Vec::new()]);
    for (i, &label) in set.labels().iter().enumerate() {
        let class = label as usize;
        seen[class] += 1;
        let is_last_of_few = (2..HELD_OUT).contains(&counts[class]) && seen[class] == counts[class];
        parts[usize::from(seen[class].is_multiple_of(HELD_OUT) || is_last_of_few)].push(i);
    }
    (set.select(&parts[0]), set.select(&parts[1]))
}

/// Those of `classes.txt`, those that are known of the set's name, or numbers.
fn class_names(dir: &Path, name: &str, count: usize) -> Result<Vec<String>, DataError> {
    numbered_classes(classes::list_in(&Disk, dir)?, name, count)
}

/// The names of `count` numbered classes: those of the list, those that are known of the set's name, or numbers.
pub(crate) fn numbered_classes(
    (list, listed): classes::List,
    name: &str,
    count: usize,
) -> Result<Vec<String>, DataError> {
    let lower = name.to_lowercase();
    let known: Vec<String> = match listed {
        Some(names) => names,
        // The sets that are known have ten.
        None if count > 10 => Vec::new(),
        None if lower.contains("fashion") => classes::owned(&classes::FASHION),
        None if lower.contains("kmnist") => classes::owned(&classes::KUZUSHIJI),
        None if lower.contains("cifar10") && !lower.contains("cifar100") => classes::owned(&classes::CIFAR10),
        None => Vec::new(),
    };
    match known.len() {
        0 => Ok((0..count).map(|label| label.to_string()).collect()),
        named if named >= count => Ok(known),
        named => Err(DataError::malformed(
            &list,
            format!("{named} names, and the labels go to {}", count - 1),
            "give a name a line for each label, from 0 on",
        )),
    }
}
