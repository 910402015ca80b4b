//! Each rule of guidance against its formula, and the number of its evaluations.
use candle_core::{Device, Tensor};
use duet_random::Draws;
use duet_sample::{
    Apg, Estimate, Guidance, GuidanceMemory, History, Labels, Networks, NoiseInterval, Place, Reading,
    Renoise, Rescale, Rule, SampleError, Sampler, State, Trajectory, WeightSchedule, ZeroStar,
};
use duet_schedule::{
    BetaSchedule, Clip, Ddim, DpmAlgorithm, DpmSolver, Heun, NoiseSchedule, Prediction, SecondOrder, Solver,
    Spacing, Steps, ThirdOrder,
};
use std::cell::RefCell;

const NULL: u32 = 10;
const IMAGES: usize = 3;
const KINDS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];

fn normal(purpose: &str) -> Tensor {
    let mut values = vec![0f32; IMAGES * 2 * 3 * 4];
    Draws::new(0, purpose, 0).fill_normal(&mut values);
    Tensor::from_vec(values, (IMAGES, 2, 3, 4), &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &Tensor, b: &Tensor) {
    let worst = values(a).iter().zip(values(b)).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 2e-5, "{worst}");
}

/// Which of the images this is, by its first value.
fn image_of(x: &Tensor) -> usize {
    let first = values(x)[0];
    (0..IMAGES).find(|&i| values(&normal("x").get(i).unwrap())[0] == first).unwrap()
}

/// A network with one answer for a class and another for the null label. It records its batches.
struct Network {
    given: Tensor,
    free: Tensor,
    asked: RefCell<Vec<usize>>,
}

impl Network {
    fn new() -> Self {
        Self { given: normal("given"), free: normal("free"), asked: RefCell::default() }
    }

    fn answer(&self, x: &Tensor, labels: Option<&Tensor>) -> Result<Tensor, SampleError> {
        let labels = labels.unwrap().to_vec1::<u32>()?;
        self.asked.borrow_mut().push(x.dim(0)?);
        let rows = labels.iter().enumerate().map(|(i, &label)| {
            let of = if label == NULL { &self.free } else { &self.given };
            of.narrow(0, image_of(&x.get(i)?), 1)
        });
        Ok(Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    fn estimate_at(
        &self,
        guidance: &Guidance,
        kind: Prediction,
        place: Place,
        memory: &mut GuidanceMemory,
    ) -> Result<Estimate, SampleError> {
        let x = normal("x");
        let labels = Labels::new(&[3, 4, 5]);
        let reading = Reading { prediction: kind, clip: Clip::No };
        let mut denoise = |x: &Tensor, _: &Tensor, labels: Option<&Tensor>| self.answer(x, labels);
        let state = State { x: &x, labels: Some(&labels), seeds: &[0, 1, 2], place };
        guidance.estimate(state, reading, memory, &mut Networks { denoise: &mut denoise, guide: None })
    }

    fn estimate(&self, guidance: &Guidance, kind: Prediction) -> Estimate {
        self.estimate_at(guidance, kind, PLACE, &mut GuidanceMemory::default()).unwrap()
    }

    /// The network's batches since the last call.
    fn asked(&self) -> Vec<usize> {
        self.asked.take()
    }
}

const PLACE: Place = Place { interval: 2, intervals: 5, at_end: false, timestep: 500, alpha_bar: 0.3 };

/// The estimate of a prediction as it is.
fn of(prediction: &Tensor, kind: Prediction) -> Estimate {
    Estimate::new(&normal("x"), prediction, kind, PLACE.alpha_bar, Clip::No).unwrap()
}

fn plain(network: &Network, w: f64) -> Tensor {
    let difference = (&network.given - &network.free).unwrap();
    (&network.free + (difference * w).unwrap()).unwrap()
}

#[test]
fn plain_guidance_extrapolates_and_asks_no_more_than_it_needs() {
    let network = Network::new();
    for kind in KINDS {
        for (w, asked) in [(1.0, IMAGES), (0.0, IMAGES), (3.0, 2 * IMAGES), (-1.0, 2 * IMAGES)] {
            let estimate = network.estimate(&Guidance::new(w, Some(NULL)), kind);
            assert_close(&estimate.x0, &of(&plain(&network, w), kind).x0);
            assert_close(&estimate.epsilon, &of(&plain(&network, w), kind).epsilon);
            assert_eq!(network.asked(), [asked], "w = {w}");
        }
    }
}

#[test]
fn each_image_may_have_its_own_weight() {
    let network = Network::new();
    let weights = [0.5, 1.0, 4.0];
    let guidance = Guidance::new(1.0, Some(NULL)).with_weights(weights.to_vec());
    let together = network.estimate(&guidance, Prediction::V);
    // The second image needs no null prediction.
    assert_eq!(network.asked(), [2 * IMAGES - 1]);
    for (i, w) in weights.into_iter().enumerate() {
        let alone = network.estimate(&Guidance::new(w, Some(NULL)), Prediction::V);
        assert_close(&together.x0.get(i).unwrap(), &alone.x0.get(i).unwrap());
    }
    assert_eq!(guidance.of_images(1..3), Guidance::new(1.0, Some(NULL)).with_weights(vec![1.0, 4.0]));
    let none =
        network.estimate_at(&Guidance::new(2.0, None), Prediction::V, PLACE, &mut GuidanceMemory::default());
    assert!(none.unwrap_err().to_string().contains("no null label"));
    let wrong = Guidance::new(1.0, Some(NULL)).with_weights(vec![1.0, 2.0]);
    let error =
        network.estimate_at(&wrong, Prediction::V, PLACE, &mut GuidanceMemory::default()).unwrap_err();
    assert!(error.to_string().contains("2 guidance weights for 3 images"), "{error}");
}

#[test]
fn outside_its_interval_guidance_costs_nothing() {
    let network = Network::new();
    let guidance = Guidance::new(3.0, Some(NULL)).with_interval(NoiseInterval::new(0.5, 2.0).unwrap());
    let conditional =
        |alpha_bar| Estimate::new(&normal("x"), &network.given, Prediction::V, alpha_bar, Clip::No).unwrap();
    for (sigma, inside) in [(0.4, false), (0.501, true), (1.999, true), (2.001, false), (1e6, false)] {
        let alpha_bar = 1.0 / (1.0 + f64::powi(sigma, 2));
        let place = Place { alpha_bar, ..PLACE };
        let estimate =
            network.estimate_at(&guidance, Prediction::V, place, &mut GuidanceMemory::default()).unwrap();
        assert_eq!(network.asked(), [if inside { 2 * IMAGES } else { IMAGES }], "sigma {sigma}");
        if !inside {
            assert_close(&estimate.x0, &conditional(alpha_bar).x0);
        }
    }
    // Pure noise is beyond every finite interval.
    assert!(!NoiseInterval::new(0.0, 1e9).unwrap().contains(0.0) && NoiseInterval::default().contains(0.0));
    for (low, high) in [(2.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::NAN)] {
        assert!(NoiseInterval::new(low, high).is_err(), "{low} to {high}");
    }
}

#[test]
fn weights_follow_their_schedule() {
    let at =
        |schedule: &WeightSchedule, interval| schedule.at((1.0, 3.0), Place { interval, ..PLACE }).unwrap();
    let all = |schedule: WeightSchedule| [0, 1, 2, 3, 4].map(|interval| at(&schedule, interval));
    assert_eq!(all(WeightSchedule::Constant), [3.0; 5]);
    assert_eq!(all(WeightSchedule::Linear), [1.0, 1.5, 2.0, 2.5, 3.0]);
    let root = 0.5f64.sqrt();
    let cosine = [1.0, 2.0 - root, 2.0, 2.0 + root, 3.0];
    assert!(all(WeightSchedule::Cosine).iter().zip(cosine).all(|(a, b)| (a - b).abs() < 1e-12));
    assert_eq!(all(WeightSchedule::List(vec![1.0, 0.0, -2.0, 5.0, 7.0])), [1.0, 0.0, -2.0, 5.0, 7.0]);
    for list in [vec![1.0; 4], vec![f64::NAN; 5]] {
        assert!(WeightSchedule::List(list).at((1.0, 3.0), PLACE).is_err());
    }
    // The first step of a weight that grows from 1 needs no null pass.
    let network = Network::new();
    let guidance = Guidance::new(3.0, Some(NULL)).with_schedule(WeightSchedule::Linear);
    for (interval, asked) in [(0, IMAGES), (1, 2 * IMAGES)] {
        network
            .estimate_at(
                &guidance,
                Prediction::V,
                Place { interval, ..PLACE },
                &mut GuidanceMemory::default(),
            )
            .unwrap();
        assert_eq!(network.asked(), [asked]);
    }
}

fn deviations(x: &Tensor) -> Vec<f32> {
    x.flatten_from(1)
        .unwrap()
        .var_keepdim(1)
        .unwrap()
        .sqrt()
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// √ᾱ ε̂ - √(1-ᾱ) x̂_0
fn v_of(estimate: &Estimate) -> Tensor {
    let (of_epsilon, of_x0) = (PLACE.alpha_bar.sqrt(), (1.0 - PLACE.alpha_bar).sqrt());
    ((&estimate.epsilon * of_epsilon).unwrap() - (&estimate.x0 * of_x0).unwrap()).unwrap()
}

#[test]
fn a_rescaled_prediction_has_the_conditional_ones_deviation() {
    let network = Network::new();
    let at = |phi| {
        let guidance = Guidance::new(4.0, Some(NULL)).with_rescale(Rescale::new(phi).unwrap());
        v_of(&network.estimate(&guidance, Prediction::V))
    };
    assert_close(&at(0.0), &plain(&network, 4.0));
    for (a, b) in deviations(&at(1.0)).iter().zip(deviations(&network.given)) {
        assert!((a / b - 1.0).abs() < 1e-5);
    }
    assert_close(&at(0.7), &((at(1.0) * 0.7).unwrap() + (at(0.0) * 0.3).unwrap()).unwrap());
    assert!(Rescale::new(1.1).is_err());
}

fn dots(a: &Tensor, b: &Tensor) -> Vec<f32> {
    (a * b).unwrap().flatten_from(1).unwrap().sum(1).unwrap().to_vec1().unwrap()
}

#[test]
fn zero_star_leaves_nothing_of_the_null_prediction_in_the_difference() {
    let network = Network::new();
    let zero_star = |w| Guidance::new(w, Some(NULL)).with_rule(ZeroStar);
    let at = |w| v_of(&network.estimate(&zero_star(w), Prediction::V));
    // At w = 2 it is 2 v(c) - s v(∅).
    let scaled = ((&network.given * 2.0).unwrap() - at(2.0)).unwrap();
    let rest = (&network.given - &scaled).unwrap();
    assert!(
        dots(&rest, &network.free).iter().all(|dot| dot.abs() < 1e-3),
        "{:?}",
        dots(&rest, &network.free)
    );
}

#[test]
fn projected_guidance_with_everything_off_is_plain_guidance() {
    let network = Network::new();
    let off = Apg::new(1.0, f64::INFINITY, 0.0).unwrap();
    for kind in KINDS {
        let guidance = Guidance::new(2.5, Some(NULL));
        let apg = network.estimate(&guidance.clone().with_rule(Rule::Apg(off)), kind);
        let expected = network.estimate(&guidance, kind);
        assert_close(&apg.x0, &expected.x0);
        assert_close(&apg.epsilon, &expected.epsilon);
    }
}

#[test]
fn projected_guidance_is_orthogonal_limited_and_remembers() {
    let network = Network::new();
    let step = |apg, memory: &mut GuidanceMemory| {
        let guidance = Guidance::new(2.0, Some(NULL)).with_rule(Rule::Apg(apg));
        let x0 = network.estimate_at(&guidance, Prediction::X0, PLACE, memory).unwrap().x0;
        (x0 - &network.given).unwrap()
    };
    let bare = Apg::new(0.0, f64::INFINITY, 0.0).unwrap();
    let orthogonal = step(bare, &mut GuidanceMemory::default());
    assert!(dots(&orthogonal, &network.given).iter().all(|dot| dot.abs() < 1e-4));
    let limited = step(Apg::new(1.0, 0.5, 0.0).unwrap(), &mut GuidanceMemory::default());
    assert!(dots(&limited, &limited).iter().all(|square| (square.sqrt() - 0.5).abs() < 1e-4));
    // The same difference D twice: D, then D + β D.
    let mut memory = GuidanceMemory::default();
    let apg = Apg::new(1.0, f64::INFINITY, -0.5).unwrap();
    let (first, second) = (step(apg, &mut memory), step(apg, &mut memory));
    assert_close(&second, &(first * 0.5).unwrap());
}

#[test]
fn history_extrapolates_from_the_previous_step() {
    let network = Network::new();
    let history = History::new(0.5, NoiseInterval::default()).unwrap();
    for kind in KINDS {
        let mut memory = GuidanceMemory::default();
        let mut step = |w| {
            let guidance = Guidance::new(w, Some(NULL)).with_history(history);
            network.estimate_at(&guidance, kind, PLACE, &mut memory).unwrap()
        };
        let seen = |w| of(&plain(&network, w), kind).x0;
        // The first step has nothing before it. After it, the memory is always the step's own estimate,
        // before its extrapolation.
        assert_close(&step(1.0).x0, &seen(1.0));
        for (w, before) in [(2.0, 1.0), (3.0, 2.0), (0.0, 3.0)] {
            let extrapolated = step(w);
            let expected = (seen(w) + ((seen(w) - seen(before)).unwrap() * 0.5).unwrap()).unwrap();
            let scale = values(&expected).iter().fold(1f32, |m, v| m.max(v.abs()));
            assert_close(
                &(&extrapolated.x0 / f64::from(scale)).unwrap(),
                &(expected / f64::from(scale)).unwrap(),
            );
            // x̂_0 and ε̂ still explain x.
            let (of_x0, of_epsilon) = (PLACE.alpha_bar.sqrt(), (1.0 - PLACE.alpha_bar).sqrt());
            assert_close(
                &((extrapolated.x0 * of_x0).unwrap() + (extrapolated.epsilon * of_epsilon).unwrap()).unwrap(),
                &normal("x"),
            );
        }
    }
}

#[test]
fn outside_its_interval_history_is_remembered_alone() {
    let network = Network::new();
    let at = |sigma: f64| Place { alpha_bar: 1.0 / (1.0 + sigma * sigma), ..PLACE };
    let history = History::new(1.0, NoiseInterval::new(0.3, 3.0).unwrap()).unwrap();
    let mut memory = GuidanceMemory::default();
    let mut step = |w, sigma| {
        let guidance = Guidance::new(w, Some(NULL)).with_history(history);
        network.estimate_at(&guidance, Prediction::X0, at(sigma), &mut memory).unwrap().x0
    };
    assert_close(&step(1.0, 9.0), &network.given);
    assert_close(&step(0.0, 5.0), &network.free);
    let expected = ((&network.given * 2.0).unwrap() - &network.free).unwrap();
    assert_close(&step(1.0, 2.0), &expected);
    assert_close(&step(0.0, 0.2), &network.free);
    for wrong in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(History::new(wrong, NoiseInterval::default()).is_err(), "{wrong}");
    }
}

#[test]
fn what_history_extrapolates_is_clipped_too() {
    let network = Network::new();
    let (x, labels) = (normal("x"), Labels::new(&[3, 4, 5]));
    let reading = Reading { prediction: Prediction::X0, clip: Clip::Static { limit: 1.0 } };
    let mut memory = GuidanceMemory::default();
    let mut step = |w| {
        let mut denoise = |x: &Tensor, _: &Tensor, labels: Option<&Tensor>| network.answer(x, labels);
        let state = State { x: &x, labels: Some(&labels), seeds: &[0, 1, 2], place: PLACE };
        let networks = &mut Networks { denoise: &mut denoise, guide: None };
        let history = History::new(2.0, NoiseInterval::default()).unwrap();
        let guidance = Guidance::new(w, Some(NULL)).with_history(history);
        guidance.estimate(state, reading, &mut memory, networks).unwrap().x0
    };
    let clipped = |x: &Tensor| x.clamp(-1.0, 1.0).unwrap();
    let (given, free) = (clipped(&network.given), clipped(&network.free));
    assert_close(&step(1.0), &given);
    assert_close(&step(0.0), &clipped(&((&free * 3.0).unwrap() - (given * 2.0).unwrap()).unwrap()));
}

/// Both solvers of order 1 are DDIM, so with CFG++ both are the paper's step.
#[test]
fn cfg_plus_plus_puts_the_null_predictions_noise_back() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(4, &schedule).unwrap()).unwrap();
    let order_one = DpmSolver {
        order: 1,
        algorithm: DpmAlgorithm::DataOde,
        second_order: SecondOrder::Midpoint,
        third_order: ThirdOrder::Exact,
        lower_order_final: false,
        euler_at_final: true,
    };
    let network = Network::new();
    let guidance = Guidance::new(0.6, Some(NULL)).with_renoise(Renoise::Null);
    for solver in [Solver::Ddim(Ddim { eta: 0.0 }), Solver::DpmSolver(order_one)] {
        let sampler = Sampler::new(steps.clone(), Prediction::Epsilon, solver).unwrap();
        let labels = Labels::new(&[3, 4, 5]);
        let trajectory = Trajectory::new(sampler, &[0, 1, 2], (2, 3, 4), Some(labels), &Device::Cpu).unwrap();
        let mut trajectory = trajectory.with_noise(normal("x")).unwrap();
        trajectory.step(&guidance, |x, _, labels| network.answer(x, labels)).unwrap();
        let (now, next) = (steps.alpha_bars()[0], steps.alpha_bars()[1]);
        let guided = plain(&network, 0.6);
        let x0 = Estimate::new(&normal("x"), &guided, Prediction::Epsilon, now, Clip::No).unwrap().x0;
        let expected =
            ((x0 * next.sqrt()).unwrap() + (&network.free * (1.0 - next).sqrt()).unwrap()).unwrap();
        let scale = values(&expected).iter().fold(1f32, |m, v| m.max(v.abs()));
        let worst =
            values(trajectory.x()).iter().zip(values(&expected)).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst < 1e-5 * scale, "{solver:?}: {worst} of {scale}");
    }
    // CFG++ needs the null prediction at every weight.
    network.asked();
    network.estimate(&Guidance::new(1.0, Some(NULL)).with_renoise(Renoise::Null), Prediction::V);
    assert_eq!(network.asked(), [2 * IMAGES]);
}

/// λ u, u from 0 to 1 over the steps.
#[test]
fn the_weight_of_cfg_plus_plus_grows_from_nothing_and_stays_within_zero_and_one() {
    let network = Network::new();
    let at = |schedule: WeightSchedule, interval| {
        let guidance = Guidance::new(0.6, Some(NULL)).with_renoise(Renoise::Null).with_schedule(schedule);
        let place = Place { interval, ..PLACE };
        network.estimate_at(&guidance, Prediction::V, place, &mut GuidanceMemory::default())
    };
    for (interval, linear, cosine) in [(0, 0.0, 0.0), (2, 0.3, 0.3), (4, 0.6, 0.6)] {
        let expected = |w| of(&plain(&network, w), Prediction::V).x0;
        assert_close(&at(WeightSchedule::Linear, interval).unwrap().x0, &expected(linear));
        assert_close(&at(WeightSchedule::Cosine, interval).unwrap().x0, &expected(cosine));
    }
    let list = |w| WeightSchedule::List(vec![0.0, 1.0, w, 0.5, 0.5]);
    assert_close(&at(list(0.2), 2).unwrap().x0, &of(&plain(&network, 0.2), Prediction::V).x0);
    for wrong in [1.1, -0.1] {
        // At once, not after some steps.
        let error = at(list(wrong), 0).unwrap_err().to_string();
        assert!(error.contains(&format!("guidance {wrong}")) && error.contains("0 to 1"), "{error}");
    }
}

/// The second evaluation of an interval does not count as the previous step of the next interval.
#[test]
fn memory_advances_once_an_interval() {
    let network = Network::new();
    let (start, end) = (Place { interval: 1, ..PLACE }, Place { interval: 1, at_end: true, ..PLACE });
    let next = Place { interval: 2, ..PLACE };
    // History with κ = 1: twice the estimate, minus the previous one.
    let history = History::new(1.0, NoiseInterval::default()).unwrap();
    let mut memory = GuidanceMemory::default();
    let mut see = |w, place| {
        let guidance = Guidance::new(w, Some(NULL)).with_history(history);
        network.estimate_at(&guidance, Prediction::X0, place, &mut memory).unwrap().x0
    };
    let seen = |w| plain(&network, w);
    let extrapolated = |w, before| ((seen(w) * 2.0).unwrap() - seen(before)).unwrap();
    assert_close(&see(1.0, start), &seen(1.0));
    assert_close(&see(2.0, end), &extrapolated(2.0, 1.0));
    assert_close(&see(0.5, next), &extrapolated(0.5, 1.0));
    // Momentum: D, then twice D + β D.
    let apg = Apg::new(1.0, f64::INFINITY, -0.5).unwrap();
    let guidance = Guidance::new(2.0, Some(NULL)).with_rule(Rule::Apg(apg));
    let mut memory = GuidanceMemory::default();
    let mut step = |place| {
        let x0 = network.estimate_at(&guidance, Prediction::X0, place, &mut memory).unwrap().x0;
        (x0 - &network.given).unwrap()
    };
    let first = step(start);
    for place in [end, next] {
        assert_close(&step(place), &(&first * 0.5).unwrap());
    }
}

/// The second evaluation of an interval has the same noise level as the first of the next interval.
#[test]
fn a_growing_weight_is_one_at_a_noise_level() {
    let at = |interval, at_end| {
        let place = Place { interval, at_end, ..PLACE };
        WeightSchedule::Linear.at((1.0, 3.0), place).unwrap()
    };
    assert_eq!([at(0, false), at(0, true), at(1, false)], [1.0, 1.5, 1.5]);
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(3, &schedule).unwrap()).unwrap();
    let heun = Sampler::new(steps, Prediction::V, Solver::Heun(Heun)).unwrap();
    let places: Vec<(usize, bool)> = (0..5).map(|i| (heun.place(i).interval, heun.place(i).at_end)).collect();
    assert_eq!(places, [(0, false), (0, true), (1, false), (1, true), (2, false)]);
    assert_eq!(heun.place(0).intervals, 3);
}

/// Every rule, alone and with others.
fn rules() -> Vec<Guidance> {
    let guidance = || Guidance::new(1.0, Some(NULL));
    vec![
        guidance(),
        guidance().with_rescale(Rescale::new(0.7).unwrap()),
        guidance().with_rule(ZeroStar),
        guidance().with_rule(ZeroStar).with_rescale(Rescale::new(1.0).unwrap()),
        guidance().with_rule(Rule::Apg(Apg::PAPER)),
        guidance()
            .with_rule(Rule::Apg(Apg::new(0.3, 0.5, -0.5).unwrap()))
            .with_rescale(Rescale::new(0.5).unwrap()),
    ]
}

/// Networks that know the same image and noise, and predict ε, v or x_0.
#[test]
fn no_rule_depends_on_what_the_network_predicts() {
    for alpha_bar in [1e-3, 0.3, 0.999] {
        let place = Place { alpha_bar, ..PLACE };
        for guidance in rules() {
            let estimates = KINDS.map(|kind| {
                let mut network = Network::new();
                let (of_x, of_x0) = kind.of_x0_coefficients(alpha_bar);
                let said = |x0: &Tensor| ((normal("x") * of_x).unwrap() + (x0 * of_x0).unwrap()).unwrap();
                (network.given, network.free) = (said(&network.given), said(&network.free));
                let guidance = guidance.clone().with_weights(vec![3.0]);
                network.estimate_at(&guidance, kind, place, &mut GuidanceMemory::default()).unwrap()
            });
            for estimate in &estimates[1..] {
                // The precision of ε is limited by that of x_0 in f32.
                let scale = ((1.0 - alpha_bar) / alpha_bar).sqrt().max(10.0);
                let close =
                    |a: &Tensor, b: &Tensor| assert_close(&(a / scale).unwrap(), &(b / scale).unwrap());
                close(&estimate.x0, &estimates[0].x0);
                close(&estimate.epsilon, &estimates[0].epsilon);
            }
        }
    }
}

/// At w = 0 the plain rule needs only the null prediction, and at w = 1 only the other one.
#[test]
fn every_rule_is_continuous_in_the_weight() {
    let network = Network::new();
    for guidance in rules() {
        let at = |w: f64, kind| network.estimate(&guidance.clone().with_weights(vec![w]), kind).x0;
        for kind in KINDS {
            for w in [0.0, 1.0] {
                for near in [-1e-9, 1e-9] {
                    assert_close(&at(w + near, kind), &at(w, kind));
                }
            }
        }
        // w = 1 is no guidance by every rule.
        assert_close(&at(1.0, Prediction::V), &of(&network.given, Prediction::V).x0);
    }
    let asked = |guidance: &Guidance| {
        network.asked();
        network.estimate(&guidance.clone().with_weights(vec![0.0]), Prediction::V);
        network.asked()
    };
    assert_eq!(asked(&rules()[0]), [IMAGES]);
    assert!(rules()[1..].iter().all(|guidance| asked(guidance) == [2 * IMAGES]));
}
