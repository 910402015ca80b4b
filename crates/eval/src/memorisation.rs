//! Whether samples are copies of training images.

use crate::quantile::{quantile, sorted};
use crate::{EvalError, Features, nearest};

/// A sample and the training image nearest to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The row of the sample.
    pub sample: usize,
    /// The row of the training image.
    pub training: usize,
    /// The distance between them.
    pub distance: f64,
}

/// How close samples are to training images, measured by how close real images are that were held
/// out of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Memorisation {
    /// The q-quantile of the distances of held-out images to their nearest training image.
    pub copy_distance: f64,
    /// Share of the samples strictly below `copy_distance`; about q for samples like held-out images.
    pub copied_share: f64,
    /// The median of the held-out images' distances.
    pub median_distance: f64,
    /// Share of the samples strictly below `median_distance`; about a half for samples like held-out
    /// images, more for a model that keeps close to its training images.
    pub closer_share: f64,
    /// Every sample with its nearest training image, the closest pair first.
    pub pairs: Vec<Pair>,
}

/// Compares the distances of samples (n, d) to their nearest training images (t, d) with those of
/// held-out real images (h, d), with q between 0 and 1, such as 0.01.
///
/// After the test of Meehan et al. (2020) in spirit: what is rare among honest images may be called
/// a copy. The rows may be pixels, which find literal copies, or features, which also find shifted
/// ones. A q-quantile wants h ≥ 1/q. Errors: q out of range, rows of different lengths.
pub fn memorisation(
    samples: &Features,
    held_out: &Features,
    training: &Features,
    q: f64,
) -> Result<Memorisation, EvalError> {
    if !(q > 0.0 && q < 1.0) {
        return Err(EvalError::OutOfRange { name: "q", value: q, range: "between 0 and 1" });
    }
    let honest = sorted(nearest(held_out, training)?.iter().map(|nearest| nearest.distance));
    let nearest = nearest(samples, training)?;
    let pair = |(sample, near): (usize, &crate::Nearest)| Pair {
        sample,
        training: near.row,
        distance: near.distance,
    };
    let mut pairs: Vec<Pair> = nearest.iter().enumerate().map(pair).collect();
    // Stable: equally close samples stay in their order.
    pairs.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let share_below =
        |limit: f64| pairs.partition_point(|pair| pair.distance < limit) as f64 / pairs.len() as f64;
    let (copy_distance, median_distance) = (quantile(&honest, q), quantile(&honest, 0.5));
    Ok(Memorisation {
        copy_distance,
        copied_share: share_below(copy_distance),
        median_distance,
        closer_share: share_below(median_distance),
        pairs,
    })
}
