//! Warnings about data sets that look like a mistake but can be trained on.

use crate::class_counts::named;
use crate::dataset::{Dataset, Splits};
use crate::error::count;
use crate::pixels::Depth;

/// If all images together use less than this share of the range, they are nearly blank.
const NARROW: f64 = 0.25;

impl Splits {
    /// Warnings before training on these images, one sentence each: files that were left out, classes
    /// without an image, images that are blank or nearly black.
    pub fn warnings(&self) -> Vec<String> {
        self.left_out.iter().cloned().chain(suspicions(self)).collect()
    }
}

/// One sentence for each likely mistake in the images.
fn suspicions(splits: &Splits) -> Vec<String> {
    let parts = [&splits.train, &splits.test];
    [empty_classes(&splits.train), blank(parts), narrow(parts)].into_iter().flatten().collect()
}

fn empty_classes(train: &Dataset) -> Option<String> {
    let counts = train.class_counts();
    let of_none = train.classes().iter().zip(&counts).filter(|(_, n)| **n == 0);
    let empty: Vec<&String> = of_none.map(|(name, _)| name).collect();
    let named = named(empty.iter().map(|name| name.to_string()));
    (!empty.is_empty()).then(|| {
        format!(
            "{} of {} classes have no training image, so nothing is learnt of them: {named}; a \
             classes.txt beside the files, one name a line, says which classes there are",
            empty.len(),
            counts.len()
        )
    })
}

fn blank(parts: [&Dataset; 2]) -> Option<String> {
    let is_blank =
        |data: &Dataset, i: usize| data.pixels(i).is_flat(data.shape().height * data.shape().width);
    // An image of one pixel is always blank.
    let can_differ = parts[0].shape().height * parts[0].shape().width > 1;
    let blank = |data: &Dataset| (0..data.len()).filter(|&i| is_blank(data, i)).count();
    let total: usize = parts.iter().map(|data| data.len()).sum();
    let blank: usize = if can_differ { parts.into_iter().map(blank).sum() } else { 0 };
    (blank > 0).then(|| {
        format!(
            "{blank} of {} are blank, all pixels alike; drawings in white on transparency become so, as \
             images are laid on white: lay them on another colour, or remove what is blank",
            count(total, "image")
        )
    })
}

fn narrow(parts: [&Dataset; 2]) -> Option<String> {
    let depth = parts[0].depth().max(parts[1].depth());
    let ranges = parts.iter().flat_map(|data| (0..data.len()).filter_map(|i| data.pixels(i).range(depth)));
    let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let share = f64::from(high - low + 1) / f64::from(depth.white() + 1);
    let likely = match depth {
        Depth::Eight => "",
        Depth::Sixteen => "; files of 16 bits that hold 10 or 12 look so",
    };
    (low < high && share < NARROW).then(|| {
        format!(
            "the images use the values {low} to {high} of 0 to {} alone, {:.0} % of the range{likely}: stretch \
             them to the whole range",
            depth.white(),
            100.0 * share
        )
    })
}
