//! The diffusion model as a classifier (Li et al. 2023).

use crate::denoiser::{Denoiser, Labelled, Probe};
use crate::error::EvalError;

/// The classes that a diffusion model assigns to images.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The class of each image.
    pub classes: Vec<u32>,
    /// The number of evaluations of the network for each image.
    pub evaluations: f64,
}

/// Assigns to each image the class for which the network predicts its noise best: argmin_c E ‖ε - ε̂(x_t,
/// t, c)‖² (Li et al. 2023, equation 5). All classes of an image share the same timesteps and noises.
///
/// `trials` are the numbers of (t, ε) in each stage, such as 8, 16, 32. After each stage, only the better
/// half of an image's classes remains. After the last stage, the best one is the answer. In every stage the
/// timesteps are spread evenly over the schedule.
/// Errors: no images; no trials; no classes; the network's errors.
pub fn classify_by_denoising(
    denoiser: &mut Denoiser<'_>,
    data: Labelled<'_>,
    classes: u32,
    trials: &[usize],
    seed: u64,
) -> Result<Classified, EvalError> {
    let count = data.count()?;
    if classes == 0 || trials.is_empty() || trials.contains(&0) {
        return Err(EvalError::TooFew { what: "classes or trials", needed: 1, rows: 0 });
    }
    let total = denoiser.schedule.len();
    let mut left: Vec<Vec<u32>> = vec![(0..classes).collect(); count];
    let mut sums = vec![vec![0f64; classes as usize]; count];
    let (mut drawn, mut evaluations) = (0u64, 0);
    for &trials in trials {
        let mut rows = Vec::new();
        for trial in 0..trials {
            let t = (2 * trial + 1) * total / (2 * trials);
            let draw = drawn + trial as u64;
            for (image, classes) in left.iter().enumerate() {
                rows.extend(classes.iter().map(|&class| Probe { image, t, draw, label: Some(class) }));
            }
        }
        let errors = denoiser.errors(data.images, &rows, (seed, "classification noise"))?;
        for (row, errors) in rows.iter().zip(&errors) {
            let class = row.label.unwrap_or_default();
            sums[row.image][class as usize] += errors.epsilon;
        }
        for (classes, sums) in left.iter_mut().zip(&sums) {
            classes.sort_by(|&a, &b| sums[a as usize].total_cmp(&sums[b as usize]));
            classes.truncate(classes.len().div_ceil(2));
        }
        drawn += trials as u64;
        evaluations += rows.len();
    }
    Ok(Classified {
        classes: left.iter().map(|classes| classes[0]).collect(),
        evaluations: evaluations as f64 / count as f64,
    })
}
