//! Whether samples are copies of training images.

use crate::error::EvalError;
use crate::features::Features;
use crate::nearest::nearest;
use crate::quantile::{quantile_of_others, sorted};
use std::collections::BTreeMap;

/// Rows of images and the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Classed<'a> {
    /// (n, d).
    pub features: &'a Features,
    /// n of them.
    pub classes: &'a [u32],
}

/// A sample and the training image nearest to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplePair {
    /// The row of the sample.
    pub sample: usize,
    /// The row of the training image.
    pub training: usize,
    /// The distance between them.
    pub distance: f64,
    /// The same in medians of the held-out images of the sample's class.
    pub relative: f64,
}

/// Distances of held-out images to their nearest training image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Honest {
    /// The q-quantile.
    pub copy_distance: f64,
    /// The median.
    pub median_distance: f64,
}

/// How close samples are to training images, measured by how close real images are that were held
/// out of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Memorisation {
    /// Of the held-out images of each class.
    pub honest: BTreeMap<u32, Honest>,
    /// Share of the samples strictly below their class's `copy_distance`.
    pub copied_share: f64,
    /// What that is for samples like held-out images: q, or more where a class has fewer than 1/q - 1
    /// held-out images, whose closest one is then all that is known of the quantile.
    pub expected_share: f64,
    /// Share of the samples strictly below their class's `median_distance`; about a half for samples like
    /// held-out images, more for a model that keeps close to its training images.
    pub closer_share: f64,
    /// Every sample with its nearest training image, the closest pair for its class first.
    pub pairs: Vec<SamplePair>,
}

/// Compares the distances of samples (n, d) to their nearest training images (t, d) with those of
/// held-out real images (h, d) of the same class, with q between 0 and 1, such as 0.01.
///
/// After the test of Meehan et al. (2020) in spirit: what is rare among honest images may be called
/// a copy. It is asked class by class, since some classes are closer together than others: one quantile of
/// all would be theirs. Samples of a class without held-out images are compared with all of them. The rows
/// may be pixels, which find literal copies, or features, which also find shifted ones.
/// Errors: q out of range, rows of different lengths, another number of classes than of rows.
pub fn memorisation(
    samples: Classed<'_>,
    held_out: Classed<'_>,
    training: &Features,
    q: f64,
) -> Result<Memorisation, EvalError> {
    if !(q > 0.0 && q < 1.0) {
        return Err(EvalError::OutOfRange { name: "q", value: q, range: "between 0 and 1" });
    }
    for (what, set) in [("classes of samples", samples), ("classes of held-out images", held_out)] {
        if set.features.len() != set.classes.len() {
            return Err(EvalError::Counts { what, left: set.classes.len(), right: set.features.len() });
        }
    }
    let distances: Vec<f64> =
        nearest(held_out.features, training)?.iter().map(|near| near.distance).collect();
    let of = |class: Option<u32>| {
        let chosen =
            distances.iter().zip(held_out.classes).filter(|(_, own)| class.is_none_or(|c| c == **own));
        let chosen = sorted(chosen.map(|(distance, _)| *distance));
        let honest = Honest {
            copy_distance: quantile_of_others(&chosen, q),
            median_distance: quantile_of_others(&chosen, 0.5),
        };
        (honest, q.max(1.0 / (chosen.len() + 1) as f64))
    };
    let by_class: BTreeMap<u32, (Honest, f64)> =
        held_out.classes.iter().map(|&class| (class, of(Some(class)))).collect();
    let all = of(None);
    let near = nearest(samples.features, training)?;
    let (mut pairs, mut copied, mut closer, mut expected) = (Vec::with_capacity(near.len()), 0, 0, 0.0);
    for (sample, (near, class)) in near.iter().zip(samples.classes).enumerate() {
        let (honest, share) = by_class.get(class).unwrap_or(&all);
        copied += usize::from(near.distance < honest.copy_distance);
        closer += usize::from(near.distance < honest.median_distance);
        expected += share;
        // Held-out images may be training images, too.
        let relative = near.distance / honest.median_distance.max(f64::MIN_POSITIVE);
        pairs.push(SamplePair { sample, training: near.row, distance: near.distance, relative });
    }
    // Stable: equally close samples stay in their order.
    pairs.sort_by(|a, b| a.relative.total_cmp(&b.relative));
    let count = pairs.len() as f64;
    Ok(Memorisation {
        honest: by_class.into_iter().map(|(class, (honest, _))| (class, honest)).collect(),
        copied_share: copied as f64 / count,
        expected_share: expected / count,
        closer_share: closer as f64 / count,
        pairs,
    })
}
