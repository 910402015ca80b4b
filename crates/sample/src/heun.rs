//! Heun's rule in σ (Karras et al. 2022, algorithm 2 without churn), of order 2.
//!
//! An interval from σ to σ' takes two evaluations. The first, at x, makes Euler's step to x̃; the
//! second, at x̃, puts it right by the trapezium: x̄' = x̃ + (σ' - σ)/2 · (ε̂(x̃) - ε̂(x)), with x̄ and x̃ in
//! the variables of [`euler`]. In x this is a step that begins and ends at ᾱ'.
//!
//! Two kinds of interval are Euler's alone. The last, as in the paper, since at σ' = 0 there is
//! nothing to ask. And those from ᾱ < [`EPSILON_MIN_ALPHA_BAR`], where ε̂ says next to nothing of the
//! image: an error of the second x̂_0 would count √ᾱ' (σ/σ' - 1)/2 times, infinitely often from ᾱ = 0,
//! and 247 times in the first of ten intervals of the cosine schedule (`tests/solvers.rs`; from there
//! on less than once). diffusers takes the trapezium there, too.

use crate::{euler, sampler::Update};
use duet_schedule::{EPSILON_MIN_ALPHA_BAR, ScheduleError, Steps};

/// The evaluations t_0, t_1, t_1, t_2, t_2, …, t_{N-1} of N intervals, their steps, and which of them are
/// the second of an interval.
pub(crate) fn expanded(intervals: &Steps) -> Result<(Steps, Vec<Update>, Vec<bool>), ScheduleError> {
    let (timesteps, alpha_bars) = (intervals.timesteps(), intervals.alpha_bars());
    let (mut asked, mut levels, mut updates, mut second) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, pair) in alpha_bars.windows(2).enumerate() {
        let (alpha_bar, next) = (pair[0], pair[1]);
        asked.push(timesteps[i]);
        levels.push(alpha_bar);
        updates.push(euler::update(next));
        second.push(false);
        let after = timesteps.get(i + 1).filter(|_| alpha_bar >= EPSILON_MIN_ALPHA_BAR);
        if let Some(&after) = after {
            asked.push(after);
            levels.push(next);
            updates.push(correction(alpha_bar, next));
            second.push(true);
        }
    }
    levels.push(alpha_bars[timesteps.len()]);
    Ok((Steps::from_levels(asked, levels)?, updates, second))
}

/// What is added to Euler's step from ᾱ to ᾱ'.
fn correction(alpha_bar: f64, next: f64) -> Update {
    // √ᾱ' (σ' - σ)/2
    let half = 0.5 * ((1.0 - next).sqrt() - (next * (1.0 - alpha_bar) / alpha_bar).sqrt());
    Update { x: 1.0, epsilon: vec![half, -half], ..Update::default() }
}
