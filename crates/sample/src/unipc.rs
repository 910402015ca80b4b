//! UniPC, predictor and corrector in x̂_0 (Zhao et al. 2023, algorithms 5 to 8).
//!
//! With α, σ, λ and h as in DPM-Solver, and s from 0 to 1 along the step, the probability flow has the
//! exact solution x' = σ'/σ x + α' ∫ h e^{-(1-s)h} x̂_0 ds. The predictor takes for x̂_0 the polynomial
//! through the last estimates, the corrector that through the same and the estimate at the end:
//! x^p = σ'/σ x + Σ b_k m_k and x^c = σ'/σ x + Σ c_k m_k. Hence x^c = x^p + Σ (c_k - b_k) m_k, and the
//! step from one prediction to the next is one sum, with one evaluation.
//!
//! Where h is infinite, the step has order 1: x̂_0 into ᾱ = 1, √ᾱ' x̂_0 + √(1-ᾱ') x from ᾱ = 0. The
//! latter's end is not corrected, since the correction, a slope over h, has no meaning there.

use crate::level::{Level, back};
use crate::moments::moments;
use crate::{SampleError, sampler::Update};
use duet_schedule::{UniPc, UniPcVariant};

/// The steps between rising ᾱ, from prediction to prediction.
pub(crate) fn updates(alpha_bars: &[f64], settings: UniPc) -> Result<Vec<Update>, SampleError> {
    let UniPc { order, variant, corrector, lower_order_final } = settings;
    if !(1..=3).contains(&order) {
        return Err(SampleError::Setting(format!("order {order} of UniPC: must be 1 to 3")));
    }
    let count = alpha_bars.len() - 1;
    let levels = |i: usize| {
        let left = count - i;
        let most = match left {
            1 if alpha_bars[count] == 1.0 => 1,
            _ if lower_order_final => left,
            _ => order,
        };
        back(alpha_bars, i, order.min(most))
    };
    let update = |i: usize| {
        let step = levels(i);
        let x = step[0].sigma / step[1].sigma;
        let mut x0 = predicted(&step, variant);
        if corrector && i > 0 {
            let correction = correction(&levels(i - 1), variant);
            x0.resize(x0.len().max(correction.len()), 0.0);
            x0.iter_mut().zip(correction).for_each(|(factor, added)| *factor += x * added);
        }
        Update { x, x0, ..Update::default() }
    };
    Ok((0..count).map(update).collect())
}

/// b_k of the step from `levels[1]` to `levels[0]`, newest estimate first.
fn predicted(levels: &[Level], variant: UniPcVariant) -> Vec<f64> {
    let Some((h, nodes)) = nodes(levels) else { return Vec::new() };
    factors(levels[0].alpha, h, &nodes, variant)
}

/// c_k - b_k of the same step, the first that of the estimate at its end.
fn correction(levels: &[Level], variant: UniPcVariant) -> Vec<f64> {
    let Some((h, mut nodes)) = nodes(levels).filter(|(h, _)| h.is_finite()) else { return Vec::new() };
    let predicted = factors(levels[0].alpha, h, &nodes, variant);
    nodes.insert(0, 1.0);
    let corrected = factors(levels[0].alpha, h, &nodes, variant);
    let predicted = std::iter::once(0.0).chain(predicted);
    corrected.into_iter().zip(predicted).map(|(c, b)| c - b).collect()
}

/// h, and where the step's start and the levels before it lie, in units of h from its start; nothing
/// of a step that goes nowhere.
fn nodes(levels: &[Level]) -> Option<(f64, Vec<f64>)> {
    let (end, start) = (levels[0], levels[1]);
    // Both may be -∞.
    if end.lambda == start.lambda {
        return None;
    }
    let h = end.lambda - start.lambda;
    let before = levels[2..].iter().map(|level| (level.lambda - start.lambda) / h);
    Some((h, std::iter::once(0.0).chain(before).collect()))
}

/// Factors of the estimates at `nodes`: α' ∫ h e^{-(1-s)h} l_k(s) ds, l_k being Lagrange's polynomials,
/// which is the solution of the paper's linear systems.
fn factors(alpha: f64, h: f64, nodes: &[f64], variant: UniPcVariant) -> Vec<f64> {
    let mut moments = moments(h, nodes.len());
    if nodes.len() == 2 {
        // The paper's ρ = 1/2 for two estimates, instead of the exact integral of s.
        moments[1] = 0.5
            * match variant {
                UniPcVariant::Bh1 => h,
                UniPcVariant::Bh2 => moments[0],
            };
    }
    let integral = |k| lagrange(nodes, k).iter().zip(&moments).map(|(c, moment)| c * moment).sum::<f64>();
    (0..nodes.len()).map(|k| alpha * integral(k)).collect()
}

/// Coefficients of Π_{j≠k} (s - s_j)/(s_k - s_j), the constant one first.
fn lagrange(nodes: &[f64], k: usize) -> Vec<f64> {
    let mut coefficients = vec![1.0];
    for node in nodes.iter().enumerate().filter(|&(j, _)| j != k).map(|(_, node)| node) {
        let distance = nodes[k] - node;
        coefficients.push(0.0);
        for n in (0..coefficients.len()).rev() {
            let lower = if n > 0 { coefficients[n - 1] } else { 0.0 };
            coefficients[n] = (lower - node * coefficients[n]) / distance;
        }
    }
    coefficients
}
