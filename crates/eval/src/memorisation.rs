//! Finds samples that copy training images.

use crate::error::EvalError;
use crate::features::Features;
use crate::fisher::Share;
use crate::nearest::nearest;
use crate::quantile::{quantile_of_others, sorted};
use std::collections::BTreeMap;

/// Rows of images and the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Classed<'a> {
    /// (n, d).
    pub features: &'a Features,
    /// The class of each row, n values.
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
    /// This distance divided by the median distance of held-out images of the sample's class.
    pub relative: f64,
}

/// The distances of held-out images to their nearest training image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Honest {
    /// The q-quantile.
    pub copy_distance: f64,
    /// The median.
    pub median_distance: f64,
}

/// How close samples are to training images, compared with held-out real images.
#[derive(Debug, Clone, PartialEq)]
pub struct Memorisation {
    /// The distances of the held-out images of each class.
    pub honest: BTreeMap<u32, Honest>,
    /// The share of the samples strictly below their class's `copy_distance`.
    pub copied_share: f64,
    /// The same share of the samples of each class.
    pub copied_by_class: BTreeMap<u32, f64>,
    /// The `copied_share` of samples that are like held-out images. It is q, or more if a class has fewer
    /// than 1/q - 1 held-out images: the quantile is then the distance of the closest one.
    pub expected_share: f64,
    /// The share of the samples strictly below their class's `median_distance`. It is about a half for
    /// samples like held-out images, and more for a model that stays close to its training images.
    pub closer_share: f64,
    /// Every sample with its nearest training image. The pair with the smallest relative distance is first.
    pub pairs: Vec<SamplePair>,
}

/// Compares the distances of samples (n, d) to their nearest training images (t, d) with those of
/// held-out real images (h, d) of the same class, with q between 0 and 1, such as 0.01.
///
/// The idea is from the test of Meehan et al. (2020): a distance that is rare among held-out images
/// suggests a copy. Each class is compared separately, because images of some classes are closer together;
/// these classes would dominate one common quantile. Samples of a class without held-out images are
/// compared with all held-out images. Rows of pixels find exact copies; rows of features also find shifted
/// ones.
/// Errors: q out of range; rows of different lengths; not one class for each row.
pub fn memorisation(
    samples: Classed<'_>,
    held_out: Classed<'_>,
    training: &Features,
    q: f64,
) -> Result<Memorisation, EvalError> {
    let distances: Vec<f64> =
        nearest(held_out.features, training)?.iter().map(|near| near.distance).collect();
    memorisation_beside(samples, (&distances, held_out.classes), training, q)
}

/// The same, given the distance of each held-out image to its nearest training image ([`nearest`]) and its class: they
/// are the same for all samples.
/// Errors: as [`memorisation`].
pub fn memorisation_beside(
    samples: Classed<'_>,
    (distances, classes): (&[f64], &[u32]),
    training: &Features,
    q: f64,
) -> Result<Memorisation, EvalError> {
    if !(q > 0.0 && q < 1.0) {
        return Err(EvalError::OutOfRange { name: "q", value: q, range: "between 0 and 1" });
    }
    if distances.is_empty() {
        return Err(EvalError::TooFew { what: "memorisation", needed: 1, rows: 0 });
    }
    for (what, rows, classes) in [
        ("classes of samples", samples.features.len(), samples.classes),
        ("classes of held-out images", distances.len(), classes),
    ] {
        if rows != classes.len() {
            return Err(EvalError::Counts { what, left: classes.len(), right: rows });
        }
    }
    let of = |class: Option<u32>| {
        let chosen = distances.iter().zip(classes).filter(|(_, own)| class.is_none_or(|c| c == **own));
        let chosen = sorted(chosen.map(|(distance, _)| *distance));
        let honest = Honest {
            copy_distance: quantile_of_others(&chosen, q),
            median_distance: quantile_of_others(&chosen, 0.5),
        };
        (honest, q.max(1.0 / (chosen.len() + 1) as f64))
    };
    let by_class: BTreeMap<u32, (Honest, f64)> =
        classes.iter().map(|&class| (class, of(Some(class)))).collect();
    let all = of(None);
    let near = nearest(samples.features, training)?;
    let mut copied_of: BTreeMap<u32, Share> = BTreeMap::new();
    let (mut pairs, mut copied, mut closer, mut expected) = (Vec::with_capacity(near.len()), 0, 0, 0.0);
    for (sample, (near, class)) in near.iter().zip(samples.classes).enumerate() {
        let (honest, share) = by_class.get(class).unwrap_or(&all);
        let is_close = near.distance < honest.copy_distance;
        copied += usize::from(is_close);
        copied_of.entry(*class).or_default().add(is_close);
        closer += usize::from(near.distance < honest.median_distance);
        expected += share;
        // Held-out images may also be training images, at distance 0.
        let relative = near.distance / honest.median_distance.max(f64::MIN_POSITIVE);
        pairs.push(SamplePair { sample, training: near.row, distance: near.distance, relative });
    }
    // The sort is stable: equally close samples stay in their order.
    pairs.sort_by(|a, b| a.relative.total_cmp(&b.relative));
    let count = pairs.len() as f64;
    Ok(Memorisation {
        honest: by_class.into_iter().map(|(class, (honest, _))| (class, honest)).collect(),
        copied_share: copied as f64 / count,
        copied_by_class: copied_of.into_iter().map(|(class, share)| (class, share.value())).collect(),
        expected_share: expected / count,
        closer_share: closer as f64 / count,
        pairs,
    })
}
