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

use std::fmt;

use crate::error::ScheduleError;
use crate::prediction::EPSILON_MIN_ALPHA_BAR;
use crate::solver::euler;
use crate::solver::method::Method;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// Heun's rule in σ (Karras et al. 2022, algorithm 2 without churn), of order 2. It asks the network twice
/// in each interval except the last: see [`Solver::intervals`](crate::Solver::intervals).
///
/// As text: `heun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heun;

impl Method for Heun {
    fn names() -> &'static [&'static str] {
        &["heun"]
    }

    fn read(text: &str) -> Option<Self> {
        (text == "heun").then_some(Self)
    }

    fn name(&self) -> &'static str {
        "heun"
    }

    /// N intervals take 2N - 1 evaluations. Each interval that begins at ᾱ < [`EPSILON_MIN_ALPHA_BAR`]
    /// takes one less.
    fn intervals(&self, evaluations: usize) -> usize {
        evaluations.div_ceil(2)
    }

    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        expanded(&steps)
    }
}

impl fmt::Display for Heun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("heun")
    }
}

/// The evaluations t_0, t_1, t_1, t_2, t_2, …, t_{N-1} of N intervals, their updates, and which of them are
/// the second of an interval.
fn expanded(intervals: &Steps) -> Result<UpdateTable, ScheduleError> {
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
    Ok(UpdateTable::new(Steps::from_levels(asked, levels)?, updates)?.with_second(second))
}

/// The correction of Euler's step from ᾱ to ᾱ'.
fn correction(alpha_bar: f64, next: f64) -> Update {
    // √ᾱ' (σ' - σ)/2
    let half = 0.5 * ((1.0 - next).sqrt() - (next * (1.0 - alpha_bar) / alpha_bar).sqrt());
    Update { x: 1.0, epsilon: vec![half, -half], ..Update::default() }
}
