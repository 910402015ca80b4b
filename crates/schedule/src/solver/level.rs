//! Noise levels in the variables of the multistep solvers.

/// α = √ᾱ, σ = √(1-ᾱ) and λ = ln(α/σ), from -∞ at ᾱ = 0 to ∞ at ᾱ = 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub alpha: f64,
    pub sigma: f64,
    pub lambda: f64,
}

impl Level {
    pub fn new(alpha_bar: f64) -> Self {
        let lambda = 0.5 * (alpha_bar.ln() - (-alpha_bar).ln_1p());
        Self { alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt(), lambda }
    }
}

/// The levels of step `i` between rising ᾱ, newest first: its end, its start, and up to `order` - 1 earlier
/// ones.
///
/// Earlier levels count only if a solver can take differences of them. The list stops before ᾱ = 0, where λ
/// is -∞, and before two equal levels.
pub(crate) fn back(alpha_bars: &[f64], i: usize, order: usize) -> Vec<Level> {
    let start = Level::new(alpha_bars[i]);
    let mut levels = vec![Level::new(alpha_bars[i + 1]), start];
    let mut after = start;
    for &alpha_bar in alpha_bars[..i].iter().rev().take(order - 1) {
        let level = Level::new(alpha_bar);
        if level.lambda == f64::NEG_INFINITY || level.lambda >= after.lambda {
            break;
        }
        levels.push(level);
        after = level;
    }
    levels
}
