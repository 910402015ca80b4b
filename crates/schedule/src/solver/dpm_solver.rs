//! DPM-Solver and DPM-Solver++, multistep, of order 1 to 3 (Lu et al. 2022, 2022b).
//!
//! With α = √ᾱ, σ = √(1-ᾱ), λ = ln(α/σ), h = λ' - λ and s from 0 to 1 along the step, the flow and the
//! reverse process, in x̂_0 and in ε̂, have the exact solutions
//!
//! | | |
//! |---|---|
//! | flow, x̂_0 | x' = σ'/σ x + α' ∫ h e^{-(1-s)h} x̂_0 ds |
//! | flow, ε̂ | x' = α'/α x - σ' ∫ h e^{(1-s)h} ε̂ ds |
//! | process, x̂_0 | x' = σ'/σ e^-h x + α' ∫ 2h e^{-2(1-s)h} x̂_0 ds + σ' √(1 - e^-2h) z |
//! | process, ε̂ | x' = α'/α x - 2σ' ∫ h e^{(1-s)h} ε̂ ds + σ' √(e^2h - 1) z |
//!
//! The integrals are taken of a polynomial through the last estimates, m_0 + D_1 s + D_2 s² with D_1 its
//! slope and D_2 its divided difference at s = 0. With J_n(h) = ∫ h e^{-(1-s)h} s^n ds, J_0 = 1 - e^-h and
//! J_n = 1 - n/h J_{n-1}, the factors of m_0, D_1 and D_2 are α' J_n(h), σ' J_n(-h), α' J_n(2h) and
//! 2σ' J_n(-h): for D_2 of the flow in x̂_0 -2α' ((e^-h - 1 + h)/h² - ½), of the process
//! 2α' (½ - 1/(2h) + (1 - e^-2h)/(4h²)).
//!
//! Where h is infinite, from ᾱ = 0 or into ᾱ = 1, the forms in ε̂ have factors 0 · ∞. There, every
//! algorithm takes the step of order 1 in x̂_0, which solves the same process and stays finite.

use std::fmt;

use crate::error::ScheduleError;
use crate::solver::level::{Level, back};
use crate::solver::method::{Method, value_of, word_of};
use crate::solver::moments::moments;
use crate::solver::update::{Update, UpdateTable};
use crate::steps::Steps;

/// A multistep DPM-Solver, in λ = ln(√ᾱ/√(1-ᾱ)) (Lu et al. 2022).
///
/// As text: `dpmpp-2m` and `dpmpp-2m-sde`, or with every setting in words, such as
/// `dpm-solver:3:dpmsolver++:heun:exact:lower-order-final:euler-at-final`: order, algorithm in diffusers'
/// words (`dpmsolver++`, `sde-dpmsolver++`, `dpmsolver`, `sde-dpmsolver`), solver of order 2 (`midpoint`,
/// `heun`) and of order 3 (`exact`, `diffusers`); the last two words stand only where they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpmSolver {
    /// The number of estimates that a step uses: 1, 2 or 3.
    pub order: usize,
    /// The equation that the solver solves.
    pub algorithm: DpmAlgorithm,
    /// How a step of order 2 uses its two estimates.
    pub second_order: SecondOrder,
    /// How a step of order 3 uses its three.
    pub third_order: ThirdOrder,
    /// With fewer than 15 steps, the last has order 1 and the one before at most order 2 (Lu et al. 2022b).
    pub lower_order_final: bool,
    /// The last step always has order 1.
    pub euler_at_final: bool,
}

/// The equation that a DPM-Solver solves, and the estimate in which it does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DpmAlgorithm {
    /// The probability flow in x̂_0: DPM-Solver++ (Lu et al. 2022b).
    DataOde,
    /// The reverse process in x̂_0: SDE-DPM-Solver++ (Lu et al. 2022b, appendix).
    DataSde,
    /// The probability flow in ε̂: DPM-Solver (Lu et al. 2022).
    NoiseOde,
    /// The reverse process in ε̂, up to order 2.
    NoiseSde,
}

impl DpmAlgorithm {
    /// The highest order of this algorithm: 3, or 2 for `NoiseSde`.
    pub fn max_order(self) -> usize {
        match self {
            Self::NoiseSde => 2,
            Self::DataOde | Self::DataSde | Self::NoiseOde => 3,
        }
    }
}

/// The two solvers of order 2. They differ by a term of order 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondOrder {
    /// The derivative at the middle of the step.
    Midpoint,
    /// The derivative at the end of the step, with the weight of the exact integral.
    Heun,
}

/// The two solvers of order 3. They differ in the factor of the second difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThirdOrder {
    /// The integral of the parabola through the three estimates, which is of order 3.
    Exact,
    /// As diffusers 0.42 computes it, for models whose scheduler asks for it. For the two algorithms that
    /// solve the flow it is half of the exact factor, which gives order 2. For the one with noise it is
    /// about -√ᾱ, but the exact factor goes to 0 with the step; this gives order 1.
    Diffusers,
}

/// The words of diffusers' `algorithm_type`.
const ALGORITHMS: [(&str, DpmAlgorithm); 4] = [
    ("dpmsolver++", DpmAlgorithm::DataOde),
    ("sde-dpmsolver++", DpmAlgorithm::DataSde),
    ("dpmsolver", DpmAlgorithm::NoiseOde),
    ("sde-dpmsolver", DpmAlgorithm::NoiseSde),
];
const SECOND_ORDERS: [(&str, SecondOrder); 2] =
    [("midpoint", SecondOrder::Midpoint), ("heun", SecondOrder::Heun)];
const THIRD_ORDERS: [(&str, ThirdOrder); 2] =
    [("exact", ThirdOrder::Exact), ("diffusers", ThirdOrder::Diffusers)];
const LOWER_ORDER_FINAL: &str = "lower-order-final";
const EULER_AT_FINAL: &str = "euler-at-final";

impl DpmSolver {
    /// DPM-Solver++ of order 2.
    pub const DPMPP_2M: Self = Self {
        order: 2,
        algorithm: DpmAlgorithm::DataOde,
        second_order: SecondOrder::Midpoint,
        third_order: ThirdOrder::Exact,
        lower_order_final: true,
        euler_at_final: true,
    };
    /// SDE-DPM-Solver++ of order 2.
    pub const DPMPP_2M_SDE: Self = Self { algorithm: DpmAlgorithm::DataSde, ..Self::DPMPP_2M };
}

/// The settings that have a short name.
const NAMED: [(&str, DpmSolver); 2] =
    [("dpmpp-2m", DpmSolver::DPMPP_2M), ("dpmpp-2m-sde", DpmSolver::DPMPP_2M_SDE)];

impl Method for DpmSolver {
    fn names() -> &'static [&'static str] {
        &["dpmpp-2m", "dpmpp-2m-sde"]
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(named) = value_of(&NAMED, text) {
            return Some(named);
        }
        let mut words = text.strip_prefix("dpm-solver:")?.split(':').peekable();
        let solver = Self {
            order: words.next()?.parse().ok()?,
            algorithm: value_of(&ALGORITHMS, words.next()?)?,
            second_order: value_of(&SECOND_ORDERS, words.next()?)?,
            third_order: value_of(&THIRD_ORDERS, words.next()?)?,
            lower_order_final: words.next_if_eq(&LOWER_ORDER_FINAL).is_some(),
            euler_at_final: words.next_if_eq(&EULER_AT_FINAL).is_some(),
        };
        words.next().is_none().then_some(solver)
    }

    fn name(&self) -> &'static str {
        "dpm-solver"
    }

    fn check(&self) -> Result<(), ScheduleError> {
        let (order, most) = (self.order, self.algorithm.max_order());
        match (1..=most).contains(&order) {
            true => Ok(()),
            false => Err(ScheduleError::Order { order, solver: word_of(&ALGORITHMS, self.algorithm), most }),
        }
    }

    fn table(&self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        let updates = updates(steps.alpha_bars(), *self);
        UpdateTable::new(steps, updates)
    }
}

impl fmt::Display for DpmSolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMED.iter().find(|(_, named)| named == self) {
            return f.write_str(name);
        }
        let (algorithm, second) =
            (word_of(&ALGORITHMS, self.algorithm), word_of(&SECOND_ORDERS, self.second_order));
        let third = word_of(&THIRD_ORDERS, self.third_order);
        write!(f, "dpm-solver:{}:{algorithm}:{second}:{third}", self.order)?;
        for (word, holds) in
            [(LOWER_ORDER_FINAL, self.lower_order_final), (EULER_AT_FINAL, self.euler_at_final)]
        {
            if holds {
                write!(f, ":{word}")?;
            }
        }
        Ok(())
    }
}

/// `lower_order_final` lowers the order of the last steps if there are fewer steps than this.
const FEW: usize = 15;

/// The updates between rising ᾱ.
fn updates(alpha_bars: &[f64], settings: DpmSolver) -> Vec<Update> {
    let order = settings.order;
    let count = alpha_bars.len() - 1;
    let few = settings.lower_order_final && count < FEW;
    let update = |i: usize| {
        let left = count - i;
        let most = match left {
            // λ is infinite at ᾱ = 1.
            1 if few || settings.euler_at_final || alpha_bars[count] == 1.0 => 1,
            2 if few => 2,
            _ => order,
        };
        step(&back(alpha_bars, i, order.min(most)), settings)
    };
    (0..count).map(update).collect()
}

/// The step from `levels[1]` to `levels[0]`. The other levels are the earlier ones.
fn step(levels: &[Level], settings: DpmSolver) -> Update {
    let (end, start) = (&levels[0], &levels[1]);
    // Both may be -∞.
    if end.lambda == start.lambda {
        return Update { x: 1.0, ..Update::default() };
    }
    let h = end.lambda - start.lambda;
    if h.is_infinite() {
        return infinite_step(end, start, settings.algorithm);
    }
    let Integrals { of_x, value, first, second, noise } =
        integrals(end, start, h, levels.len() - 1, settings);
    let mut estimates = vec![value];
    if let Some(before) = levels.get(2) {
        // r = (λ - λ_{-1}) / h; D_1 = (m_0 - m_{-1}) / r
        let r0 = (start.lambda - before.lambda) / h;
        match levels.get(3) {
            None => {
                estimates[0] += first / r0;
                estimates.push(-first / r0);
            }
            Some(earlier) => {
                let r1 = (before.lambda - earlier.lambda) / h;
                // D_1 = d + r_0/(r_0+r_1) (d - d'), D_2 = (d - d')/(r_0+r_1), with the differences
                // d = (m_0 - m_{-1})/r_0 and d' = (m_{-1} - m_{-2})/r_1.
                let curve = (first * r0 + second) / (r0 + r1);
                let (d, d_before) = (first + curve, -curve);
                estimates[0] += d / r0;
                estimates.push(d_before / r1 - d / r0);
                estimates.push(-d_before / r1);
            }
        }
    }
    let (x0, epsilon) = match settings.algorithm {
        DpmAlgorithm::DataOde | DpmAlgorithm::DataSde => (estimates, vec![]),
        DpmAlgorithm::NoiseOde | DpmAlgorithm::NoiseSde => (vec![], estimates),
    };
    Update { x: of_x, x0, epsilon, noise }
}

/// The step in x̂_0 for infinite h.
fn infinite_step(end: &Level, start: &Level, algorithm: DpmAlgorithm) -> Update {
    let x0 = vec![end.alpha];
    match algorithm {
        DpmAlgorithm::DataOde | DpmAlgorithm::NoiseOde => {
            Update { x: end.sigma / start.sigma, x0, ..Update::default() }
        }
        DpmAlgorithm::DataSde | DpmAlgorithm::NoiseSde => {
            Update { x0, noise: end.sigma, ..Update::default() }
        }
    }
}

/// The factors of x, of the newest estimate, of the first and second divided differences (in units of h),
/// and of the noise.
struct Integrals {
    of_x: f64,
    value: f64,
    first: f64,
    second: f64,
    noise: f64,
}

fn integrals(end: &Level, start: &Level, h: f64, order: usize, settings: DpmSolver) -> Integrals {
    let phi = |u: f64| u.exp_m1();
    let (alpha, sigma) = (end.alpha, end.sigma);
    let midpoint = settings.second_order == SecondOrder::Midpoint && order == 2;
    let second = second(end, h, settings);
    match settings.algorithm {
        DpmAlgorithm::DataOde => {
            let value = -alpha * phi(-h);
            let first = if midpoint { 0.5 * value } else { alpha * (phi(-h) / h + 1.0) };
            Integrals { of_x: sigma / start.sigma, value, first, second, noise: 0.0 }
        }
        DpmAlgorithm::NoiseOde => {
            let value = -sigma * phi(h);
            let first = if midpoint { 0.5 * value } else { -sigma * (phi(h) / h - 1.0) };
            Integrals { of_x: alpha / start.alpha, value, first, second, noise: 0.0 }
        }
        DpmAlgorithm::DataSde => {
            let value = -alpha * phi(-2.0 * h);
            let first = if midpoint { 0.5 * value } else { alpha * (phi(-2.0 * h) / (2.0 * h) + 1.0) };
            let noise = sigma * (-phi(-2.0 * h)).sqrt();
            Integrals { of_x: sigma / start.sigma * (-h).exp(), value, first, second, noise }
        }
        DpmAlgorithm::NoiseSde => {
            let value = -2.0 * sigma * phi(h);
            let first = if midpoint { 0.5 * value } else { -2.0 * sigma * (phi(h) / h - 1.0) };
            let noise = sigma * phi(2.0 * h).sqrt();
            Integrals { of_x: alpha / start.alpha, value, first, second, noise }
        }
    }
}

/// The factor of D_2.
fn second(end: &Level, h: f64, settings: DpmSolver) -> f64 {
    let exact = match settings.algorithm {
        DpmAlgorithm::DataOde => end.alpha * moments(h, 3)[2],
        DpmAlgorithm::NoiseOde => end.sigma * moments(-h, 3)[2],
        DpmAlgorithm::DataSde => end.alpha * moments(2.0 * h, 3)[2],
        // This algorithm has no order 3.
        DpmAlgorithm::NoiseSde => 0.0,
    };
    match (settings.third_order, settings.algorithm) {
        (ThirdOrder::Exact, _) => exact,
        // α ((1 - e^-2h - 2h)/(2h)² - ½), where the exact factor is 2α ((1 - e^-2h - 2h)/(2h)² + ½).
        (ThirdOrder::Diffusers, DpmAlgorithm::DataSde) => 0.5 * exact - end.alpha,
        (ThirdOrder::Diffusers, _) => 0.5 * exact,
    }
}
