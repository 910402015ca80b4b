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

use crate::level::{Level, back};
use crate::moments::moments;
use crate::{SampleError, sampler::Update};
use duet_schedule::{DpmAlgorithm, DpmSolver, SecondOrder, ThirdOrder};

/// With fewer steps than this the last ones are of lower order, where that is asked for.
const FEW: usize = 15;

/// The steps between rising ᾱ.
pub(crate) fn updates(alpha_bars: &[f64], settings: DpmSolver) -> Result<Vec<Update>, SampleError> {
    let DpmSolver { order, algorithm, .. } = settings;
    let most = algorithm.max_order();
    if !(1..=most).contains(&order) {
        return Err(SampleError::Setting(format!("order {order} of {algorithm:?}: must be 1 to {most}")));
    }
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
    Ok((0..count).map(update).collect())
}

/// The step from `levels[1]` to `levels[0]`; the rest are those before.
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

/// The step in x̂_0 of infinite h.
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

/// Factors of x, of the newest estimate, of the first and second divided differences (in units of h),
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
        // There is none of order 3.
        DpmAlgorithm::NoiseSde => 0.0,
    };
    match (settings.third_order, settings.algorithm) {
        (ThirdOrder::Exact, _) => exact,
        // α ((1 - e^-2h - 2h)/(2h)² - ½), where the exact factor is 2α ((1 - e^-2h - 2h)/(2h)² + ½).
        (ThirdOrder::Diffusers, DpmAlgorithm::DataSde) => 0.5 * exact - end.alpha,
        (ThirdOrder::Diffusers, _) => 0.5 * exact,
    }
}
