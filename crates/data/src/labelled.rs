//! Images and labels of a file, made into the splits of a data set.

use std::path::Path;

use crate::classes;
use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::pixels::Pixels;

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
            None => self.divided(&classes)?,
        };
        Ok(Splits { left_out, ..Splits::new(name, train, test)? })
    }

    fn dataset(self, classes: &[String]) -> Result<Dataset, DataError> {
        Dataset::of_pixels(self.shape, self.pixels, self.labels, classes.to_vec())
    }

    /// Two of it: every tenth image of a class is held out, and of two or more at least one.
    fn divided(self, classes: &[String]) -> Result<(Dataset, Dataset), DataError> {
        let whole = self.dataset(classes)?;
        let (counts, mut seen) = (whole.class_counts(), vec![0usize; classes.len()]);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (i, &label) in whole.labels().iter().enumerate() {
            let class = label as usize;
            seen[class] += 1;
            let is_last_of_few = (2..HELD_OUT).contains(&counts[class]) && seen[class] == counts[class];
            let held_out = seen[class].is_multiple_of(HELD_OUT) || is_last_of_few;
            if held_out { &mut test } else { &mut train }.push(i);
        }
        Ok((whole.select(&train), whole.select(&test)))
    }
}

/// Those of `classes.txt`, those that are known of the set's name, or numbers.
fn class_names(dir: &Path, name: &str, count: usize) -> Result<Vec<String>, DataError> {
    let list = dir.join("classes.txt");
    let lower = name.to_lowercase();
    let known: Vec<String> = match classes::read_file(&list)? {
        Some(names) => names,
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
