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

use std::fmt;

use crate::error::ScheduleError;
use crate::solver::level::{Level, back};
use crate::solver::method::{Method, value_of, word_of};
use crate::solver::moments::moments;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// UniPC in x̂_0, multistep predictor and corrector in λ (Zhao et al. 2023, algorithms 5 to 8).
///
/// As text: `unipc`, or with every setting in words, such as `unipc:3:bh1:corrector:lower-order-final`;
/// the last two words stand only where they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniPc {
    /// The number of estimates that a prediction uses: 1, 2 or 3. A correction uses one more.
    pub order: usize,
    /// B(h).
    pub variant: UniPcVariant,
    /// Whether each step first corrects the step before it, with the network's answer at that step's end.
    /// The correction costs no evaluation and raises the order by one.
    pub corrector: bool,
    /// The last step has order 1, the one before at most order 2.
    pub lower_order_final: bool,
}

/// B(h). It matters only in predictions of order 2 and corrections of order 1: both weigh a difference of
/// estimates by B(h)/2. The others have the weights that integrate a polynomial exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniPcVariant {
    /// h, which grows without bound as ᾱ goes to 0.
    Bh1,
    /// 1 - e^-h.
    Bh2,
}

const VARIANTS: [(&str, UniPcVariant); 2] = [("bh1", UniPcVariant::Bh1), ("bh2", UniPcVariant::Bh2)];
const CORRECTOR: &str = "corrector";
const LOWER_ORDER_FINAL: &str = "lower-order-final";
const MOST: usize = 3;

impl UniPc {
    /// The settings of `unipc`: order 2, with B(h) = 1 - e^-h, corrector and lower final orders.
    pub const ORDER_2: Self =
        Self { order: 2, variant: UniPcVariant::Bh2, corrector: true, lower_order_final: true };
}

impl Method for UniPc {
    fn names() -> &'static [&'static str] {
        &["unipc"]
    }

    fn read(text: &str) -> Option<Self> {
        if text == "unipc" {
            return Some(Self::ORDER_2);
        }
        let mut words = text.strip_prefix("unipc:")?.split(':').peekable();
        let solver = Self {
            order: words.next()?.parse().ok()?,
            variant: value_of(&VARIANTS, words.next()?)?,
            corrector: words.next_if_eq(&CORRECTOR).is_some(),
            lower_order_final: words.next_if_eq(&LOWER_ORDER_FINAL).is_some(),
        };
        words.next().is_none().then_some(solver)
    }

    fn name(&self) -> &'static str {
        "unipc"
    }

    fn check(&self) -> Result<(), ScheduleError> {
        match (1..=MOST).contains(&self.order) {
            true => Ok(()),
            false => Err(ScheduleError::Order { order: self.order, solver: "UniPC", most: MOST }),
        }
    }

    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        let updates = updates(steps.alpha_bars(), *self);
        UpdateTable::new(steps, updates)
    }
}

impl fmt::Display for UniPc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ORDER_2 {
            return f.write_str("unipc");
        }
        write!(f, "unipc:{}:{}", self.order, word_of(&VARIANTS, self.variant))?;
        for (word, holds) in [(CORRECTOR, self.corrector), (LOWER_ORDER_FINAL, self.lower_order_final)] {
            if holds {
                write!(f, ":{word}")?;
            }
        }
        Ok(())
    }
}

/// The updates between rising ᾱ, from prediction to prediction.
fn updates(alpha_bars: &[f64], settings: UniPc) -> Vec<Update> {
    let UniPc { order, variant, corrector, lower_order_final } = settings;
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
    (0..count).map(update).collect()
}

/// b_k of the step from `levels[1]` to `levels[0]`, newest estimate first.
fn predicted(levels: &[Level], variant: UniPcVariant) -> Vec<f64> {
    let Some((h, nodes)) = nodes(levels) else { return Vec::new() };
    factors(levels[0].alpha, h, &nodes, variant)
}

/// c_k - b_k of the same step. The first belongs to the estimate at its end.
fn correction(levels: &[Level], variant: UniPcVariant) -> Vec<f64> {
    let Some((h, mut nodes)) = nodes(levels).filter(|(h, _)| h.is_finite()) else { return Vec::new() };
    let predicted = factors(levels[0].alpha, h, &nodes, variant);
    nodes.insert(0, 1.0);
    let corrected = factors(levels[0].alpha, h, &nodes, variant);
    let predicted = std::iter::once(0.0).chain(predicted);
    corrected.into_iter().zip(predicted).map(|(c, b)| c - b).collect()
}

/// h, and the positions of the step's start and of the levels before it, in units of h from its start. None
/// for a step between equal levels.
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

/// The factors of the estimates at `nodes`: α' ∫ h e^{-(1-s)h} l_k(s) ds, where l_k are Lagrange's
/// polynomials. They solve the paper's linear systems.
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

/// The coefficients of Π_{j≠k} (s - s_j)/(s_k - s_j), the constant first.
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
