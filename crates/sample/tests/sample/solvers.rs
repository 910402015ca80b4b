//! Every solver against diffusers' trajectories, on analytic models, and at the ends of the schedule.
//!
//! `references/solvers.safetensors` is made by `benches/make_references.py` with torch 2.15 and
//! diffusers 0.42: UniPC, Heun and Euler (and `inversions.safetensors`: DDIM backwards) on the stand-in network prediction(x) = 0.3 x + 0.1, between
//! the noise levels recorded with each case.
use candle_core::{DType, Device, Tensor};
use duet_sample::{Estimate, Guidance, Inversion, Networks, Sampler, Trajectory, Update};
use duet_schedule::{
    BetaSchedule, Clip, Ddim, Ddpm, DpmAlgorithm, DpmSolver, Euler, Heun, NoiseSchedule, Prediction,
    SecondOrder, Solver, Spacing, Steps, ThirdOrder, UniPc, UniPcVariant, Variance,
};
use proptest::prelude::*;
use std::collections::HashMap;

fn uni_pc(order: usize, variant: UniPcVariant, corrector: bool, lower_order_final: bool) -> Solver {
    Solver::UniPc(UniPc { order, variant, corrector, lower_order_final })
}

fn dpm(algorithm: DpmAlgorithm, order: usize, second_order: SecondOrder) -> Solver {
    Solver::DpmSolver(DpmSolver {
        order,
        algorithm,
        second_order,
        third_order: ThirdOrder::Exact,
        lower_order_final: false,
        euler_at_final: false,
    })
}

/// The solvers that add no noise.
fn deterministic() -> Vec<Solver> {
    let mut solvers = vec![Solver::Ddim(Ddim { eta: 0.0 }), Solver::Euler(Euler), Solver::Heun(Heun)];
    for order in 1..=3 {
        for second_order in [SecondOrder::Midpoint, SecondOrder::Heun] {
            solvers
                .extend([DpmAlgorithm::DataOde, DpmAlgorithm::NoiseOde].map(|a| dpm(a, order, second_order)));
        }
        for variant in [UniPcVariant::Bh1, UniPcVariant::Bh2] {
            for (corrector, lower) in [(false, false), (false, true), (true, false), (true, true)] {
                solvers.push(uni_pc(order, variant, corrector, lower));
            }
        }
    }
    solvers
}

fn stochastic() -> Vec<Solver> {
    let mut solvers = vec![
        Solver::Ddim(Ddim { eta: 1.0 }),
        Solver::Ddpm(Ddpm { variance: Variance::Small }),
        Solver::Ddpm(Ddpm { variance: Variance::Large }),
    ];
    for second_order in [SecondOrder::Midpoint, SecondOrder::Heun] {
        solvers.extend((1..=3).map(|order| dpm(DpmAlgorithm::DataSde, order, second_order)));
        solvers.extend((1..=2).map(|order| dpm(DpmAlgorithm::NoiseSde, order, second_order)));
    }
    solvers
}

fn values(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The largest difference, relative to the largest expected magnitude (at least 1).
fn relative_error(x: &Tensor, expected: &Tensor) -> f64 {
    let (x, expected) = (values(x), values(expected));
    let largest = expected.iter().fold(1f64, |largest, value| largest.max(value.abs()));
    x.iter().zip(&expected).fold(0f64, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

/// The states of the sampler on the stand-in network.
fn states(sampler: &Sampler, x: &Tensor) -> Vec<Tensor> {
    let mut states = vec![x.clone()];
    let mut estimates: Vec<Estimate> = Vec::new();
    for i in 0..sampler.steps().len() {
        let x = &states[i];
        estimates.push(sampler.estimate(i, x, &x.affine(0.3, 0.1).unwrap()).unwrap());
        states.push(sampler.step(i, x, &estimates, None).unwrap());
    }
    states
}

fn references(name: &str) -> (Vec<serde_json::Value>, HashMap<String, Tensor>) {
    let path = format!("{}/tests/references/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let cases = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    (cases, candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap())
}

/// diffusers' DDIMInverseScheduler, whose levels are recorded from the image on: one iteration a step.
#[test]
fn every_inversion_of_diffusers_is_reproduced() {
    let (cases, tensors) = references("inversions");
    let mut worst = 0f64;
    for case in &cases {
        let tensor = |what: &str| &tensors[&format!("{what}.{}", case["name"].as_str().unwrap())];
        let mut levels = tensor("alpha_bars").to_vec1::<f64>().unwrap();
        levels.reverse();
        let steps = Steps::from_levels(vec![0; levels.len() - 1], levels).unwrap();
        let sampler = Sampler::new(steps, Prediction::Epsilon, Solver::Ddim(Ddim { eta: 0.0 })).unwrap();
        let expected = tensor("x").to_dtype(DType::F64).unwrap();
        let mut inversion = Inversion::new(sampler, expected.get(0).unwrap(), None, 1).unwrap();
        let mut denoise = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.affine(0.3, 0.1)?);
        for i in 1..expected.dim(0).unwrap() {
            let networks = Networks { denoise: &mut denoise, guide: None };
            inversion.step(&Guidance::new(1.0, None), networks).unwrap();
            worst = worst.max(relative_error(inversion.x(), &expected.get(i).unwrap()));
        }
        assert!(inversion.is_done() && worst <= 1e-6, "{worst:e} in {case}");
    }
    println!("{} cases, worst error {worst:e}", cases.len());
    assert_eq!(cases.len(), 16);
}

/// diffusers gives NaN for two steps of UniPC: with bh1 into ᾱ = 1 (-∞ · 0), and from a level to itself
/// (0/0). Ours gives x̂_0 in the first case and changes nothing in the second. All other steps are
/// compared. Both ran in f64, so the remaining difference is the f32 of the file.
#[test]
fn every_trajectory_of_diffusers_is_reproduced() {
    let (cases, tensors) = references("solvers");
    let (mut worst, mut without_number) = (HashMap::new(), 0);
    for case in &cases {
        let word = |key: &str| case[key].as_str().unwrap();
        let flag = |key: &str| case[key].as_bool().unwrap();
        let solver = match word("scheduler") {
            "EulerDiscreteScheduler" => Solver::Euler(Euler),
            "HeunDiscreteScheduler" => Solver::Heun(Heun),
            _ => {
                let variant = if word("variant") == "bh1" { UniPcVariant::Bh1 } else { UniPcVariant::Bh2 };
                let order = case["order"].as_u64().unwrap() as usize;
                uni_pc(order, variant, flag("corrector"), flag("lower_order_final"))
            }
        };
        let tensor = |what: &str| &tensors[&format!("{what}.{}", word("name"))];
        let levels = tensor("alpha_bars").to_vec1::<f64>().unwrap();
        let steps = Steps::from_levels(vec![0; levels.len() - 1], levels).unwrap();
        let sampler = Sampler::new(steps, word("prediction").parse().unwrap(), solver).unwrap();
        let expected = tensor("x").to_dtype(DType::F64).unwrap();
        let states = states(&sampler, &expected.get(0).unwrap());
        assert_eq!(states.len(), expected.dim(0).unwrap(), "{case}");
        for (i, x) in states.iter().enumerate() {
            let expected = expected.get(i).unwrap();
            if values(&expected).iter().any(|value| value.is_nan()) {
                assert!(i + 1 == states.len() && values(x).iter().all(|value| value.is_finite()), "{case}");
                without_number += 1;
                continue;
            }
            let error = relative_error(x, &expected);
            assert!(error <= 1e-6, "{error:e} in state {i} of {case}");
            let worst = worst.entry(word("scheduler").to_string()).or_insert(0f64);
            *worst = worst.max(error);
        }
    }
    println!("{} cases, {without_number} last states NaN, worst errors {worst:?}", cases.len());
    assert_eq!((cases.len(), without_number), (120, 8));
}

/// Karras et al. 2022, algorithm 1, in its own variables, with x̂_0 clipped and not.
#[test]
fn euler_is_a_step_in_sigma_and_ddim() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(9, &schedule).unwrap()).unwrap();
    let noise = Tensor::new(&[-1.7, -0.4, 0.3, 2.1], &Device::Cpu).unwrap();
    for clip in [Clip::No, Clip::Static { limit: 1.0 }] {
        let sampler =
            |solver| Sampler::new(steps.clone(), Prediction::V, solver).unwrap().with_clip(clip).unwrap();
        let euler = states(&sampler(Solver::Euler(Euler)), &noise);
        let ddim = states(&sampler(Solver::Ddim(Ddim { eta: 0.0 })), &noise);
        for (i, pair) in euler.windows(2).enumerate() {
            let levels = &steps.alpha_bars()[i..=i + 1];
            let sigma = |k: usize| ((1.0 - levels[k]) / levels[k]).sqrt();
            let estimate =
                sampler(Solver::Euler(Euler)).estimate(i, &pair[0], &pair[0].affine(0.3, 0.1).unwrap());
            let bar = (&pair[0] / levels[0].sqrt()).unwrap();
            let bar = (bar + (estimate.unwrap().epsilon * (sigma(1) - sigma(0))).unwrap()).unwrap();
            assert!(relative_error(&pair[1], &(bar * levels[1].sqrt()).unwrap()) < 1e-12);
            assert!(relative_error(&pair[1], &ddim[i + 1]) < 1e-12);
        }
    }
}

/// x after an update, in f64: `x0` and `epsilon` are the estimates so far, the newest last.
fn updated(update: &Update, x: f64, x0: &[f64], epsilon: &[f64], noise: f64) -> f64 {
    let sum = |factors: &[f64], estimates: &[f64]| {
        factors.iter().zip(estimates.iter().rev()).map(|(factor, estimate)| factor * estimate).sum::<f64>()
    };
    update.x * x + sum(&update.x0, x0) + sum(&update.epsilon, epsilon) + update.noise * noise
}

/// What the exact x of normal data does between two levels, for x without the noise that is added.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The probability flow keeps x / √(ᾱ s² + 1 - ᾱ).
    Flow,
    /// The mean of x' given x, two levels of the process that makes noise of data.
    Process,
}

/// Of data N(0, s²), ᾱ s² + 1 - ᾱ is the variance of x.
const DATA_VARIANCE: f64 = 0.25;

fn variance(alpha_bar: f64) -> f64 {
    alpha_bar * DATA_VARIANCE + 1.0 - alpha_bar
}

impl Way {
    fn exact(self, x: f64, from: f64, to: f64) -> f64 {
        match self {
            Self::Flow => x * (variance(to) / variance(from)).sqrt(),
            Self::Process => x * (from / to).sqrt() * variance(to) / variance(from),
        }
    }
}

/// Even in λ, from σ = 20 to 0.05.
fn even_steps(intervals: usize) -> Steps {
    let level = |i: usize| {
        let log_sigma = 20f64.ln() + (0.05f64 / 20.0).ln() * i as f64 / intervals as f64;
        1.0 / (1.0 + (2.0 * log_sigma).exp())
    };
    Steps::from_levels(vec![0; intervals], (0..=intervals).map(level).collect()).unwrap()
}

/// The exact (x̂_0, ε̂) of this data at x: ε̂ = √(1-ᾱ) x / (ᾱ s² + 1 - ᾱ).
fn of_normal_data(x: f64, alpha_bar: f64) -> (f64, f64) {
    (
        alpha_bar.sqrt() * DATA_VARIANCE * x / variance(alpha_bar),
        (1.0 - alpha_bar).sqrt() * x / variance(alpha_bar),
    )
}

/// The error at the end of a trajectory.
fn gaussian_error(solver: Solver, intervals: usize) -> f64 {
    let sampler = Sampler::new(even_steps(intervals), Prediction::Epsilon, solver).unwrap();
    let levels = sampler.steps().alpha_bars();
    let (mut x, mut x0, mut epsilon) = (1.3, Vec::new(), Vec::new());
    for (i, &alpha_bar) in levels[..levels.len() - 1].iter().enumerate() {
        let estimate = of_normal_data(x, alpha_bar);
        x0.push(estimate.0);
        epsilon.push(estimate.1);
        x = updated(sampler.update(i), x, &x0, &epsilon, 0.0);
    }
    (x - Way::Flow.exact(1.3, levels[0], levels[levels.len() - 1])).abs()
}

/// The sum of the local errors of steps. Each step begins at the exact x and knows the exact earlier
/// estimates. The first one is the first step with enough estimates for its order.
fn sum_of_local_errors(solver: Solver, way: Way, order: usize, intervals: usize) -> f64 {
    let sampler = Sampler::new(even_steps(intervals), Prediction::Epsilon, solver).unwrap();
    let levels = sampler.steps().alpha_bars();
    let (mut x, mut x0, mut epsilon, mut sum) = (1.3, Vec::new(), Vec::new(), 0.0);
    for (i, pair) in levels.windows(2).enumerate() {
        let estimate = of_normal_data(x, pair[0]);
        x0.push(estimate.0);
        epsilon.push(estimate.1);
        let stepped = updated(sampler.update(i), x, &x0, &epsilon, 0.0);
        x = way.exact(x, pair[0], pair[1]);
        if i + 1 >= order {
            sum += (stepped - x).abs();
        }
    }
    sum
}

/// The orders that follow from the errors when the number of intervals doubles.
fn orders(error: impl Fn(usize) -> f64) -> Vec<f64> {
    let errors = [20, 40, 80, 160, 320].map(error);
    let orders = errors.windows(2).map(|pair| (pair[0] / pair[1]).log2()).collect();
    println!("orders {orders:.2?}, errors {errors:?}");
    orders
}

fn converges(solver: Solver, order: std::ops::Range<f64>) {
    let orders = orders(|intervals| gaussian_error(solver, intervals));
    assert!(orders[1..].iter().all(|measured| order.contains(measured)), "{solver:?}: {orders:?}");
}

#[test]
fn ddim_and_euler_converge_with_order_one() {
    converges(Solver::Ddim(Ddim { eta: 0.0 }), 0.8..1.2);
    converges(Solver::Euler(Euler), 0.8..1.2);
}

/// Per interval, which is two evaluations.
#[test]
fn heun_converges_with_order_two() {
    converges(Solver::Heun(Heun), 1.8..2.5);
}

/// The local errors of order p, of the process in the mean, are of order p + 1. In the mean x̂_0 stays the
/// same, so for the process in x̂_0 there is none.
#[test]
fn every_dpm_solver_has_its_order() {
    for (algorithm, way) in [
        (DpmAlgorithm::DataOde, Way::Flow),
        (DpmAlgorithm::NoiseOde, Way::Flow),
        (DpmAlgorithm::DataSde, Way::Process),
        (DpmAlgorithm::NoiseSde, Way::Process),
    ] {
        for order in 1..=algorithm.max_order() {
            for second_order in [SecondOrder::Midpoint, SecondOrder::Heun] {
                let solver = dpm(algorithm, order, second_order);
                if algorithm == DpmAlgorithm::DataSde {
                    assert!(sum_of_local_errors(solver, way, order, 40) < 1e-12, "{solver:?}");
                    continue;
                }
                let orders = orders(|intervals| sum_of_local_errors(solver, way, order, intervals));
                let within = order as f64 - 0.2..order as f64 + 0.2;
                assert!(
                    orders[2..].iter().all(|measured| within.contains(measured)),
                    "{solver:?}: {orders:?}"
                );
            }
        }
    }
}

/// The first step has order 1, whose error of order 2 is kept: of order 3 it is a small share.
#[test]
fn dpm_solver_pp_3m_is_closer_than_2m_from_its_own_start_too() {
    for second_order in [SecondOrder::Midpoint, SecondOrder::Heun] {
        for intervals in [20, 40, 80, 160] {
            let error = |order| gaussian_error(dpm(DpmAlgorithm::DataOde, order, second_order), intervals);
            let errors = [2, 3].map(error);
            assert!(errors[1] < 0.2 * errors[0], "{intervals}: {errors:?}");
        }
        converges(dpm(DpmAlgorithm::DataOde, 2, second_order), 1.8..2.5);
    }
}

/// The factors of the last of these steps, weighed with estimates λ^degree, and ∫ weight λ^degree.
fn polynomial(solver: Solver, lambdas: &[f64], degree: i32, weight: impl Fn(f64) -> f64) -> (f64, f64) {
    let alpha_bars = lambdas.iter().map(|lambda| 1.0 / (1.0 + (-2.0 * lambda).exp())).collect();
    let steps = Steps::from_levels(vec![0; lambdas.len() - 1], alpha_bars).unwrap();
    let sampler = Sampler::new(steps, Prediction::V, solver).unwrap();
    let (start, end) = (lambdas[lambdas.len() - 2], lambdas[lambdas.len() - 1]);
    let estimates: Vec<f64> = lambdas[..lambdas.len() - 1].iter().map(|lambda| lambda.powi(degree)).collect();
    let found = updated(sampler.update(lambdas.len() - 2), 0.0, &estimates, &estimates, 0.0);
    // Simpson's rule.
    let (count, h) = (2000, end - start);
    let value = |i: usize| {
        let lambda = start + h * i as f64 / f64::from(count);
        let times = if i == 0 || i == count as usize { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
        times * weight(lambda) * lambda.powi(degree)
    };
    let integral = (0..=count as usize).map(value).sum::<f64>() * h / (3.0 * f64::from(count));
    (found, integral)
}

/// Order p: the integral of a polynomial of degree below p is exact, over uneven steps and long ones.
#[test]
fn a_step_of_order_p_is_exact_for_polynomials_of_degree_below_p() {
    let alpha = |lambda: f64| (1.0 / (1.0 + (-2.0 * lambda).exp())).sqrt();
    let sigma = |lambda: f64| (1.0 / (1.0 + (2.0 * lambda).exp())).sqrt();
    for scale in [0.1, 1.0, 3.0] {
        for order in 1..=3usize {
            let lambdas = &[-1.7, -0.9, 0.2, 1.1].map(|lambda| lambda * scale)[3 - order..];
            let end = lambdas[order];
            for degree in 0..=order as i32 {
                let mut cases = vec![
                    (
                        DpmAlgorithm::DataOde,
                        polynomial(
                            dpm(DpmAlgorithm::DataOde, order, SecondOrder::Heun),
                            lambdas,
                            degree,
                            |l| alpha(end) * (l - end).exp(),
                        ),
                    ),
                    (
                        DpmAlgorithm::DataSde,
                        polynomial(
                            dpm(DpmAlgorithm::DataSde, order, SecondOrder::Heun),
                            lambdas,
                            degree,
                            |l| 2.0 * alpha(end) * (2.0 * (l - end)).exp(),
                        ),
                    ),
                    (
                        DpmAlgorithm::NoiseOde,
                        polynomial(
                            dpm(DpmAlgorithm::NoiseOde, order, SecondOrder::Heun),
                            lambdas,
                            degree,
                            |l| -sigma(end) * (end - l).exp(),
                        ),
                    ),
                ];
                if order < 3 {
                    let solver = dpm(DpmAlgorithm::NoiseSde, order, SecondOrder::Heun);
                    let found = polynomial(solver, lambdas, degree, |l| -2.0 * sigma(end) * (end - l).exp());
                    cases.push((DpmAlgorithm::NoiseSde, found));
                }
                for (algorithm, (found, integral)) in cases {
                    let off = (found - integral).abs() / scale.powi(order as i32 + 1);
                    let exact = degree < order as i32;
                    assert!(
                        if exact { off < 1e-6 } else { off > 1e-2 },
                        "{algorithm:?} {order}, λ^{degree}, {scale}: {found}, not {integral}"
                    );
                }
                let found =
                    polynomial(uni_pc(order, UniPcVariant::Bh2, false, false), lambdas, degree, |l| {
                        alpha(end) * (l - end).exp()
                    });
                assert!(
                    order == 2 || degree == order as i32 || (found.0 - found.1).abs() < 1e-11,
                    "UniPC {order}, λ^{degree}: {found:?}"
                );
            }
        }
    }
}

/// 2α' ∫ e^{-2(h-s)} s² ds = α' (h² - h + (1 - e^-2h)/2); diffusers' own has the wrong sign.
#[test]
fn the_second_difference_of_the_process_counts_what_the_integral_says() {
    let lambdas = [-0.5, -0.25, 0.0, 0.25];
    let alpha = (1.0 / (1.0 + f64::exp(-0.5))).sqrt();
    let step = |third_order| {
        let Solver::DpmSolver(settings) = dpm(DpmAlgorithm::DataSde, 3, SecondOrder::Midpoint) else {
            unreachable!()
        };
        polynomial(Solver::DpmSolver(DpmSolver { third_order, ..settings }), &lambdas, 2, |_| 0.0).0 / alpha
    };
    let exact = 0.0625 - 0.25 - (-0.5f64).exp_m1() / 2.0;
    assert!(
        (exact - 0.0092).abs() < 5e-5 && (step(ThirdOrder::Exact) - exact).abs() < 1e-12,
        "{}",
        step(ThirdOrder::Exact)
    );
    assert!((step(ThirdOrder::Diffusers) + 0.0579).abs() < 5e-5, "{}", step(ThirdOrder::Diffusers));
}

/// The noise of a step is that of its order 1, so the variance at the end is right in the limit of many
/// steps, and of order 1 at least.
#[test]
fn the_variance_of_every_process_is_that_of_the_data_in_many_steps() {
    for solver in stochastic() {
        let error = |intervals: usize| {
            let sampler = Sampler::new(even_steps(intervals), Prediction::Epsilon, solver).unwrap();
            let levels = sampler.steps().alpha_bars();
            // Factors of the starting noise and of each step's.
            let mut x = vec![0.0; intervals + 1];
            x[0] = variance(levels[0]).sqrt();
            let (mut x0, mut epsilon): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
            for (i, &level) in levels[..intervals].iter().enumerate() {
                let of = |x: &f64| of_normal_data(*x, level);
                x0.push(x.iter().map(|x| of(x).0).collect());
                epsilon.push(x.iter().map(|x| of(x).1).collect());
                let at =
                    |all: &[Vec<f64>], k: usize| all.iter().map(|estimate| estimate[k]).collect::<Vec<f64>>();
                let next = |(k, x): (usize, &f64)| {
                    let noise = if k == i + 1 { 1.0 } else { 0.0 };
                    updated(sampler.update(i), *x, &at(&x0, k), &at(&epsilon, k), noise)
                };
                x = x.iter().enumerate().map(next).collect();
            }
            (x.iter().map(|x| x * x).sum::<f64>() / variance(levels[intervals]) - 1.0).abs()
        };
        let errors = [25, 50, 100, 200].map(error);
        println!("{solver:?}: {errors:?}");
        assert!(
            errors[3] < 0.03 && errors.windows(2).all(|pair| pair[1] < 0.62 * pair[0]),
            "{solver:?}: {errors:?}"
        );
    }
}

/// DDIM with η = 1, DDPM and SDE-DPM-Solver++ of order 1 draw from the same posterior; DDIM with η = 0 is
/// DPM-Solver and DPM-Solver++ of order 1.
#[test]
fn what_is_the_same_by_several_names_is_the_same() {
    let steps = even_steps(7);
    let groups = [
        vec![
            Solver::Ddim(Ddim { eta: 1.0 }),
            Solver::Ddpm(Ddpm { variance: Variance::Small }),
            dpm(DpmAlgorithm::DataSde, 1, SecondOrder::Midpoint),
        ],
        vec![
            Solver::Ddim(Ddim { eta: 0.0 }),
            Solver::Euler(Euler),
            dpm(DpmAlgorithm::DataOde, 1, SecondOrder::Midpoint),
            dpm(DpmAlgorithm::NoiseOde, 1, SecondOrder::Heun),
            uni_pc(1, UniPcVariant::Bh1, false, false),
        ],
    ];
    for group in groups {
        let step = |solver: Solver, i: usize, z: f64| {
            let sampler = Sampler::new(steps.clone(), Prediction::V, solver).unwrap();
            let a = steps.alpha_bars()[i];
            let (x0, epsilon) = (0.4, -1.2);
            let x = a.sqrt() * x0 + (1.0 - a).sqrt() * epsilon;
            updated(sampler.update(i), x, &vec![x0; i + 1], &vec![epsilon; i + 1], z)
        };
        for i in 0..7 {
            for z in [0.0, 1.0] {
                let found: Vec<f64> = group.iter().map(|solver| step(*solver, i, z)).collect();
                assert!(found.iter().all(|x| (x - found[0]).abs() < 1e-12), "step {i}: {found:?}");
            }
        }
    }
}

/// The predictor's order is p, and p + 1 with the corrector (Zhao et al. 2023, corollary 3.2).
#[test]
fn unipc_converges_with_its_order_and_one_more_with_its_corrector() {
    for variant in [UniPcVariant::Bh1, UniPcVariant::Bh2] {
        converges(uni_pc(1, variant, false, false), 0.8..1.3);
        converges(uni_pc(1, variant, true, false), 1.8..2.5);
        converges(uni_pc(2, variant, false, false), 1.8..2.5);
        converges(uni_pc(2, variant, true, false), 2.7..3.5);
        converges(uni_pc(3, variant, true, false), 3.5..4.5);
    }
}

#[test]
fn heun_asks_twice_in_each_interval_but_the_last() {
    let steps = |first: f64| Steps::from_levels(vec![9, 6, 2], vec![first, 0.3, 0.8, 1.0]).unwrap();
    let heun = |first| Sampler::new(steps(first), Prediction::V, Solver::Heun(Heun)).unwrap();
    assert_eq!(heun(0.1).steps().timesteps(), [9, 6, 6, 2, 2]);
    assert_eq!(heun(0.1).steps().alpha_bars(), [0.1, 0.3, 0.3, 0.8, 0.8, 1.0]);
    // Where ε̂ says nothing of the image, the trapezium has no meaning.
    for first in [0.0, 2.4e-9] {
        assert_eq!(heun(first).steps().timesteps(), [9, 6, 2, 2]);
        assert_eq!(heun(first).steps().alpha_bars(), [first, 0.3, 0.8, 0.8, 1.0]);
    }
    for evaluations in 0..20 {
        let intervals = Solver::Heun(Heun).intervals(evaluations);
        assert!(2 * intervals <= evaluations + 1 && evaluations <= 2 * intervals);
        assert_eq!(Solver::Euler(Euler).intervals(evaluations), evaluations);
    }
}

/// With the trapezium, an error of x̂_0 at the interval's end counts √ᾱ' (σ/σ' - 1)/2 times.
#[test]
fn heun_lets_no_error_of_x0_count_many_times() {
    let weight = |pair: &[f64]| {
        let sigma = |alpha_bar: f64| ((1.0 - alpha_bar) / alpha_bar).sqrt();
        pair[1].sqrt() * (sigma(pair[0]) / sigma(pair[1]) - 1.0) / 2.0
    };
    for betas in [BetaSchedule::Linear, BetaSchedule::Cosine, BetaSchedule::Sigmoid] {
        let schedule = NoiseSchedule::new(&betas, 1000).unwrap();
        let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(10, &schedule).unwrap()).unwrap();
        let weights: Vec<f64> = steps.alpha_bars()[..10].windows(2).map(weight).collect();
        println!("{betas}: {weights:.2?}");
        let heun = Sampler::new(steps, Prediction::V, Solver::Heun(Heun)).unwrap();
        let corrected = heun.steps().alpha_bars().windows(2).filter(|pair| pair[0] == pair[1]).count();
        let kept = weights.iter().filter(|&&weight| weight < 2.0).count();
        assert_eq!(corrected, kept, "{betas}: {weights:?}");
        if betas == BetaSchedule::Cosine {
            assert_eq!(weights[0].round(), 247.0);
        }
    }
}

#[test]
fn orders_out_of_range_are_refused() {
    let steps = || Steps::from_levels(vec![5], vec![0.5, 1.0]).unwrap();
    let refused = |solver| Sampler::new(steps(), Prediction::V, solver).unwrap_err().to_string();
    for order in [0, 4] {
        assert!(refused(uni_pc(order, UniPcVariant::Bh2, true, true)).contains("must be 1 to 3"));
        let data = dpm(DpmAlgorithm::DataSde, order, SecondOrder::Midpoint);
        assert!(refused(data).contains("must be 1 to 3"));
    }
    assert!(refused(dpm(DpmAlgorithm::NoiseSde, 3, SecondOrder::Midpoint)).contains("must be 1 to 2"));
}

/// Where ᾱ = 0, λ is -∞ and σ infinite; where it is 1, both are infinite the other way.
#[test]
fn every_solver_samples_v_from_zero_terminal_snr() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap().with_zero_terminal_snr();
    for solver in [deterministic(), stochastic()].concat() {
        for count in [1, 2, 3, 4, 10, 20] {
            let timesteps = Spacing::Trailing.timesteps(count, &schedule).unwrap();
            let steps = Steps::new(&schedule, &timesteps).unwrap();
            let sampler = Sampler::new(steps, Prediction::V, solver).unwrap();
            let mut trajectory = Trajectory::new(sampler, &[1, 2], (1, 2, 2), None, &Device::Cpu).unwrap();
            while !trajectory.is_done() {
                let network = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.affine(0.3, 0.1)?);
                trajectory.step(&Guidance::new(1.0, None), network).unwrap();
                let largest = values(trajectory.x()).iter().fold(0f64, |most, value| most.max(value.abs()));
                assert!(largest.is_finite(), "{solver:?}, {count} steps");
            }
        }
    }
}

/// For a stochastic solver too, the ends equal the images of the two seeds.
#[test]
fn between_two_seeds_the_ends_are_theirs() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap();
    let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(6, &schedule).unwrap()).unwrap();
    for solver in [deterministic(), stochastic()].concat() {
        let draw = |seeds: &[u64], towards: &[(u64, f64)]| {
            let sampler = Sampler::new(steps.clone(), Prediction::V, solver).unwrap();
            let trajectory = Trajectory::new(sampler, seeds, (1, 2, 2), None, &Device::Cpu).unwrap();
            let mut trajectory = match towards {
                [] => trajectory,
                towards => trajectory.with_towards(towards).unwrap(),
            };
            while !trajectory.is_done() {
                let network = |x: &Tensor, _: &Tensor, _: Option<&Tensor>| Ok(x.affine(0.3, 0.1)?);
                trajectory.step(&Guidance::new(1.0, None), network).unwrap();
            }
            values(trajectory.x())
        };
        let ends = draw(&[1, 2], &[]);
        let way = draw(&[1, 1, 1], &[(2, 0.0), (2, 0.5), (2, 1.0)]);
        let off = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(off(&way[..4], &ends[..4]) < 1e-5 && off(&way[8..], &ends[4..]) < 1e-5, "{solver:?}");
        assert!(off(&way[4..8], &ends[..4]) > 1e-2 && off(&way[4..8], &ends[4..]) > 1e-2, "{solver:?}");
    }
    let sampler = Sampler::new(steps, Prediction::V, Solver::Euler(Euler)).unwrap();
    let trajectory = Trajectory::new(sampler, &[1, 2], (1, 2, 2), None, &Device::Cpu).unwrap();
    let error = trajectory.with_towards(&[(3, 0.5)]).unwrap_err().to_string();
    assert!(error.contains("1 other seeds for 2"), "{error}");
}

/// Levels that rise from 0 or more to 1 or less, some of them equal.
fn levels() -> impl Strategy<Value = Vec<f64>> {
    let gaps = prop::collection::vec(prop_oneof![4 => 0.05f64..1.0, 1 => Just(0.0)], 1..12);
    (prop_oneof![Just(None), (-9.0f64..0.0).prop_map(Some)], gaps, any::<bool>()).prop_map(
        |(first, gaps, to_one)| {
            // In log σ, from ᾱ = 0 or from where `first` says.
            let log_sigma = first.unwrap_or(-9.0);
            let sums = gaps.iter().scan(log_sigma, |sum, gap| {
                *sum += gap * 12.0 / gaps.len() as f64;
                Some(*sum)
            });
            let alpha_bar = |lambda: f64| 1.0 / (1.0 + (-2.0 * lambda).exp());
            let start = first.map_or(0.0, alpha_bar);
            let mut levels: Vec<f64> = std::iter::once(start).chain(sums.map(alpha_bar)).collect();
            if to_one {
                levels.push(1.0);
            }
            levels
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// For data at one point, x̂_0 and ε̂ never change, and every x of the trajectory follows from them.
    #[test]
    fn every_step_is_exact_for_data_at_one_point(levels in levels(), point in -2f64..2.0, z in -2f64..2.0) {
        let at = |alpha_bar: f64, z: f64| alpha_bar.sqrt() * point + (1.0 - alpha_bar).sqrt() * z;
        let steps = Steps::from_levels(vec![0; levels.len() - 1], levels).unwrap();
        for solver in deterministic() {
            let sampler = Sampler::new(steps.clone(), Prediction::V, solver).unwrap();
            let levels = sampler.steps().alpha_bars();
            let mut x = at(levels[0], z);
            for (i, &next) in levels[1..].iter().enumerate() {
                x = updated(sampler.update(i), x, &vec![point; i + 1], &vec![z; i + 1], 0.0);
                prop_assert!((x - at(next, z)).abs() < 1e-8, "{solver:?}, step {i}: {x}, not {}", at(next, z));
            }
        }
        // Those that add noise are exact in the mean, for x without any.
        for solver in stochastic() {
            let sampler = Sampler::new(steps.clone(), Prediction::V, solver).unwrap();
            let mut x = at(steps.alpha_bars()[0], 0.0);
            for (i, &next) in steps.alpha_bars()[1..].iter().enumerate() {
                x = updated(sampler.update(i), x, &vec![point; i + 1], &vec![0.0; i + 1], 0.0);
                prop_assert!((x - at(next, 0.0)).abs() < 1e-8, "{solver:?}, step {i}");
                prop_assert!(sampler.update(i).noise.is_finite(), "{solver:?}, step {i}");
            }
        }
    }
}
