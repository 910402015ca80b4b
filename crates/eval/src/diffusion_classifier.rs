//! The diffusion model as a classifier (Li et al. 2023).

use crate::denoiser::{Denoiser, Labelled, Probe};
use crate::error::EvalError;

/// The classes that a diffusion model assigns to images.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The class of each image.
    pub classes: Vec<u32>,
    /// For each image a probability for each class: softmax of -E ‖ε - ε̂‖² (Li et al. 2023, equation 4). Each class
    /// is held against the best one over the timesteps and noises that both were tried with.
    pub probabilities: Vec<Vec<f64>>,
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
    let (mut drawn, mut evaluations, mut stages) = (0u64, 0, Vec::new());
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
        stages.push(Stage { left: left.clone(), sums: sums.clone(), draws: drawn + trials as u64 });
        for (classes, sums) in left.iter_mut().zip(&sums) {
            classes.sort_by(|&a, &b| sums[a as usize].total_cmp(&sums[b as usize]));
            classes.truncate(classes.len().div_ceil(2));
        }
        drawn += trials as u64;
        evaluations += rows.len();
    }
    let best: Vec<u32> = left.iter().map(|classes| classes[0]).collect();
    Ok(Classified {
        probabilities: best.iter().enumerate().map(|(i, &best)| probabilities(&stages, i, best)).collect(),
        classes: best,
        evaluations: evaluations as f64 / count as f64,
    })
}

/// What is known after a stage.
struct Stage {
    /// The classes of each image that were tried.
    left: Vec<Vec<u32>>,
    /// Of each image and class, over the draws so far.
    sums: Vec<Vec<f64>>,
    draws: u64,
}

fn probabilities(stages: &[Stage], image: usize, best: u32) -> Vec<f64> {
    let mut shares = vec![0.0; stages[0].sums[image].len()];
    for stage in stages {
        let sums = &stage.sums[image];
        for &class in &stage.left[image] {
            let worse = (sums[class as usize] - sums[best as usize]) / stage.draws as f64;
            shares[class as usize] = (-worse).exp();
        }
    }
    let all: f64 = shares.iter().sum();
    shares.iter().map(|share| share / all).collect()
}
