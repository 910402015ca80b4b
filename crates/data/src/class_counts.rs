//! How many training images each class has, and what is worth a warning about it.

use crate::dataset::Splits;
use crate::error::count;

/// The number of classes that a sentence names.
const NAMED: usize = 10;
/// So many classes are listed with their numbers.
const LISTED: usize = 12;
/// A class with fewer training images is learnt by heart or not at all.
const FEW: usize = 20;
/// If the largest class has so many times the images of the smallest, the smallest is hardly ever seen.
const UNEQUAL: usize = 100;

/// A class and how many training images it has.
type Counted<'a> = (&'a str, usize);

impl Splits {
    /// One line: how many training images each class has, or, of more than 12 classes, the fewest and the most.
    /// None for a single class.
    pub fn describe_classes(&self) -> Option<String> {
        let counts = self.counted();
        let numbers = match counts.as_slice() {
            [] | [_] => return None,
            few if few.len() <= LISTED => {
                few.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
            }
            many => {
                let (least, most) = ends(many)?;
                format!("{} ({}) to {} ({})", least.1, least.0, most.1, most.0)
            }
        };
        Some(format!("training images of a class: {numbers}"))
    }

    /// Warnings about classes with few images, or with far fewer than others, one sentence each. `balanced` says
    /// whether training draws classes alike already. Classes without an image are in [`Splits::warnings`].
    pub fn class_warnings(&self, balanced: bool) -> Vec<String> {
        let mut counts = self.counted();
        counts.retain(|(_, n)| *n > 0);
        [few(counts.clone()), unequal(&counts).filter(|_| !balanced)].into_iter().flatten().collect()
    }

    fn counted(&self) -> Vec<Counted<'_>> {
        self.train.classes().iter().map(String::as_str).zip(self.train.class_counts()).collect()
    }
}

fn few(mut counts: Vec<Counted<'_>>) -> Option<String> {
    let of = counts.len();
    counts.retain(|(_, n)| *n < FEW);
    counts.sort_by_key(|(_, n)| *n);
    let named = named(counts.iter().map(|(name, n)| format!("{name} ({n})")));
    (!counts.is_empty()).then(|| {
        format!(
            "{} of {of} classes have fewer than {FEW} training images: {named}; so few are copied rather than learnt: \
             add images to them, or train with --augment 0.12, which changes them in every pass",
            counts.len()
        )
    })
}

fn unequal(counts: &[Counted]) -> Option<String> {
    let (least, most) = ends(counts)?;
    (most.1 >= UNEQUAL * least.1).then(|| {
        format!(
            "the classes are unequal, {} : 1: {} has {} and {} {}; train --balance draws them alike",
            most.1 / least.1,
            most.0,
            count(most.1, "training image"),
            least.0,
            least.1
        )
    })
}

/// The first of the smallest classes and the first of the largest.
fn ends<'a>(counts: &[Counted<'a>]) -> Option<(Counted<'a>, Counted<'a>)> {
    let least = counts.iter().min_by_key(|(_, n)| *n)?;
    let most = counts.iter().rev().max_by_key(|(_, n)| *n)?;
    Some((*least, *most))
}

/// A list of names in a sentence, the first ten of them.
pub(crate) fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = if names.len() > NAMED { " and others" } else { "" };
    names.take(NAMED).collect::<Vec<_>>().join(", ") + more
}
