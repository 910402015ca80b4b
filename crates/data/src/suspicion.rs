//! Warnings about data sets that look like a mistake but can be trained on.

use crate::class_counts::named;
use crate::dataset::{Dataset, Splits};
use crate::error::count;

/// If all images together use fewer of the 256 values, they are nearly blank.
const FEW_VALUES: usize = 64;

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
    let is_blank = |data: &Dataset, i: usize| {
        let mut planes = data.pixels(i).chunks_exact(data.shape().height * data.shape().width);
        planes.all(|plane| plane.iter().all(|&v| v == plane[0]))
    };
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
    let mut ends = None;
    for data in parts {
        for i in 0..data.len() {
            for &v in data.pixels(i) {
                let (low, high) = ends.unwrap_or((v, v));
                ends = Some((low.min(v), high.max(v)));
            }
        }
    }
    let (low, high) = ends?;
    let used = usize::from(high - low) + 1;
    (low < high && used < FEW_VALUES).then(|| {
        format!(
            "the images use the values {low} to {high} of 0 to 255 alone, {:.0} % of the range; 16-bit files \
             that hold 10 or 12 bits look so: stretch them to the whole range",
            100.0 * used as f64 / 256.0
        )
    })
}
