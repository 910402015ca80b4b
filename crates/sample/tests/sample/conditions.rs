//! What images will show, what guidance pushes them away from, and what they begin with.
use candle_core::{DType, Device, Tensor};
use duet_sample::{
    Apg, Away, Guidance, History, Inversion, Known, Labels, Networks, NoiseInterval, Renoise, Rescale, Rule,
    SampleError, Sampler, Trajectory, ZeroStar, initial_noise, interpolate_noise,
};
use duet_schedule::{
    BetaSchedule, Clip, Ddim, Ddpm, DpmAlgorithm, DpmSolver, Heun, NoiseSchedule, Prediction, SecondOrder,
    Solver, Spacing, Steps, ThirdOrder, Variance,
};
use std::cell::RefCell;

const NULL: u32 = 10;
const SHAPE: (usize, usize, usize) = (1, 4, 4);
const SEEDS: [u64; 3] = [4, 7, 9];

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    values(a).iter().zip(values(b)).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()))
}

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap()
}

fn steps(n: usize) -> Steps {
    Steps::new(&schedule(), &Spacing::Trailing.timesteps(n, &schedule()).unwrap()).unwrap()
}

fn ddim(n: usize) -> Sampler {
    Sampler::new(steps(n), Prediction::V, Solver::Ddim(Ddim { eta: 0.0 })).unwrap()
}

/// A stand-in that depends on x, t and the label of each row, and records the labels.
#[derive(Default)]
struct Network {
    scale: f64,
    asked: RefCell<Vec<Vec<u32>>>,
}

impl Network {
    fn answer(&self, x: &Tensor, t: &Tensor, labels: Option<&Tensor>) -> Result<Tensor, SampleError> {
        let labels = labels.unwrap();
        self.asked.borrow_mut().push(labels.to_vec1()?);
        let column =
            |of: &Tensor, scale: f64| of.to_dtype(DType::F32)?.affine(scale, 0.0)?.reshape(((), 1, 1, 1));
        let by_time = x.broadcast_mul(&column(t, 1.0 / 3000.0)?)?;
        Ok(by_time.broadcast_add(&(column(labels, 0.05)? + self.scale)?)?)
    }
}

fn draw(labels: &Labels, guidance: &Guidance, network: &Network, guide: Option<&Network>) -> Tensor {
    let mut trajectory = Trajectory::new(ddim(5), &SEEDS, SHAPE, Some(labels.clone()), &Device::Cpu).unwrap();
    let mut denoise = |x: &Tensor, t: &Tensor, l: Option<&Tensor>| network.answer(x, t, l);
    let mut beside = |x: &Tensor, t: &Tensor, l: Option<&Tensor>| guide.unwrap().answer(x, t, l);
    while !trajectory.is_done() {
        let guide = guide.map(|_| &mut beside as &mut duet_sample::Denoise<'_>);
        trajectory.step_with(guidance, Networks { denoise: &mut denoise, guide }).unwrap();
    }
    trajectory.x().clone()
}

/// The stand-in is linear in the label, so three parts of class 4 and one of class 8 are class 5.
#[test]
fn a_mixture_predicts_its_classes_mean_and_asks_for_each_once() {
    let network = Network::default();
    let mixtures = vec![vec![(4, 0.75), (8, 0.25)], vec![(5, 1.0)], vec![(2, 0.4), (7, 0.6)]];
    let guidance = Guidance::new(3.0, Some(NULL));
    let mixed = draw(&Labels::mixtures(mixtures).unwrap(), &guidance, &network, None);
    assert_eq!(network.asked.take()[0], [4, 8, 5, 2, 7, NULL, NULL, NULL]);
    let plain = draw(&Labels::new(&[5, 5, 5]), &guidance, &network, None);
    assert!(worst(&mixed, &plain) < 1e-5);
    for wrong in [vec![(1, 0.5)], vec![], vec![(1, f64::NAN)], vec![(1, 0.7), (2, 0.7)]] {
        assert!(Labels::mixtures(vec![wrong]).is_err());
    }
}

/// D_1 + (w - 1)(D_1 - D_0), which for the stand-ins' constants is a shift by (w - 1)(s_1 - s_0).
#[test]
fn autoguidance_pushes_away_from_the_other_network() {
    let (network, weak) =
        (Network { scale: 0.2, ..Network::default() }, Network { scale: 0.5, ..Network::default() });
    let labels = Labels::new(&[3, 3, 8]);
    let guidance = Guidance::new(2.0, None).with_away(Away::Guide);
    let guided = draw(&labels, &guidance, &network, Some(&weak));
    let expected = Network { scale: 2.0 * 0.2 - 0.5, ..Network::default() };
    assert!(worst(&guided, &draw(&labels, &Guidance::new(1.0, None), &expected, None)) < 1e-5);
    // Each is asked once a step, for its own predictions.
    assert_eq!(network.asked.take(), vec![vec![3, 3, 8]; 5]);
    assert_eq!(weak.asked.take(), vec![vec![3, 3, 8]; 5]);
    draw(&labels, &guidance.clone().with_away(Away::GuideLabel(NULL)), &network, Some(&weak));
    assert_eq!(weak.asked.take(), vec![vec![NULL; 3]; 5]);
    // Without it there is nothing to push away from, and it is not the network itself.
    let mut alone = Trajectory::new(ddim(5), &SEEDS, SHAPE, Some(labels.clone()), &Device::Cpu).unwrap();
    let error = alone.step(&guidance, |x, t, l| network.answer(x, t, l)).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
    // If its answer does not matter, the guide is not evaluated.
    network.asked.take();
    draw(&labels, &guidance.with_weights(vec![1.0, 0.0, 1.0]), &network, Some(&weak));
    assert_eq!(weak.asked.take(), vec![vec![3]; 5]);
    assert_eq!(network.asked.take(), vec![vec![3, 8]; 5]);
}

#[test]
fn independent_conditions_are_drawn_anew_for_each_image_and_step() {
    let network = Network::default();
    let guidance = Guidance::new(2.0, None).with_away(Away::Independent { classes: 10 });
    let labels = Labels::new(&[1, 1, 1]);
    let images = draw(&labels, &guidance, &network, None);
    let asked = network.asked.take();
    let drawn: Vec<u32> = asked.iter().flat_map(|rows| rows[3..].to_vec()).collect();
    assert!(asked.iter().all(|rows| rows[..3] == [1, 1, 1] && rows.len() == 6));
    assert!(drawn.iter().all(|&label| label < 10));
    assert!(drawn.iter().any(|label| *label != drawn[0]), "{drawn:?}");
    // They are a function of seed and step.
    assert_eq!(values(&draw(&labels, &guidance, &network, None)), values(&images));
}

/// Heun evaluates at t_0, t_1, t_1, t_2, t_2 and t_3: twice in each interval except the last.
#[test]
fn heun_draws_an_independent_condition_for_each_interval() {
    let network = Network::default();
    let guidance = Guidance::new(2.0, None).with_away(Away::Independent { classes: 1000 });
    let labels = Labels::new(&[1, 1, 1]);
    let sampler = Sampler::new(steps(5).last(4), Prediction::V, Solver::Heun(Heun)).unwrap();
    let mut trajectory = Trajectory::new(sampler, &SEEDS, SHAPE, Some(labels), &Device::Cpu).unwrap();
    while !trajectory.is_done() {
        trajectory.step(&guidance, |x, t, l| network.answer(x, t, l)).unwrap();
    }
    let drawn: Vec<Vec<u32>> = network.asked.take().iter().map(|rows| rows[3..].to_vec()).collect();
    let (firsts, seconds) = ([&drawn[0], &drawn[2], &drawn[4]], [&drawn[1], &drawn[3], &drawn[5]]);
    assert_eq!(firsts, seconds);
    assert!(drawn.len() == 7 && firsts[0] != firsts[1] && firsts[1] != firsts[2], "{drawn:?}");
}

#[test]
fn cfg_plus_plus_is_refused_where_a_sampler_asks_twice() {
    let sampler = Sampler::new(steps(3), Prediction::V, Solver::Heun(Heun)).unwrap();
    let labels = Some(Labels::new(&[1, 1, 1]));
    let mut trajectory = Trajectory::new(sampler, &SEEDS, SHAPE, labels, &Device::Cpu).unwrap();
    let guidance = Guidance::new(0.6, Some(NULL)).with_renoise(Renoise::Null);
    let network = Network::default();
    let error = trajectory.step(&guidance, |x, t, l| network.answer(x, t, l)).unwrap_err().to_string();
    assert!(error.contains("CFG++") && error.contains("heun"), "{error}");
}

/// The rest of the batch does not matter: weights that need one pass, the other or both, and APG's memory.
#[test]
fn an_image_is_the_same_alone_and_among_others() {
    let labels = [3, 6, 1];
    for (guidance, w) in [
        (Guidance::new(1.0, Some(NULL)), 2.5),
        (Guidance::new(1.0, Some(NULL)).with_rule(Rule::Apg(Apg::PAPER)), 2.5),
        (Guidance::new(1.0, Some(NULL)).with_rule(ZeroStar).with_rescale(Rescale::new(0.5).unwrap()), 2.5),
        (Guidance::new(1.0, Some(NULL)).with_renoise(Renoise::Null), 0.6),
    ] {
        let weights = [1.0, w, 0.0];
        let network = Network::default();
        let all =
            draw(&Labels::new(&labels), &guidance.clone().with_weights(weights.to_vec()), &network, None);
        for i in 0..3 {
            let labels = Some(Labels::new(&labels[i..=i]));
            let mut alone = Trajectory::new(ddim(5), &SEEDS[i..=i], SHAPE, labels, &Device::Cpu).unwrap();
            let guidance = guidance.clone().with_weights(vec![weights[i]]);
            while !alone.is_done() {
                alone.step(&guidance, |x, t, l| network.answer(x, t, l)).unwrap();
            }
            assert_eq!(values(alone.x()), values(&all.get(i).unwrap()), "image {i}");
        }
    }
}

#[test]
fn missing_answers_and_wrong_numbers_are_refused() {
    let network = Network::default();
    let step = |labels: Labels, guidance: &Guidance| {
        let mut trajectory = Trajectory::new(ddim(2), &SEEDS, SHAPE, Some(labels), &Device::Cpu)?;
        trajectory.step(guidance, |x, t, l| network.answer(x, t, l))
    };
    let none = step(Labels::new(&[1, 2, 3]), &Guidance::new(2.0, None)).unwrap_err().to_string();
    assert!(none.contains("no null label"), "{none}");
    let few = step(Labels::new(&[1]), &Guidance::new(1.0, None)).unwrap_err().to_string();
    assert!(few.contains("1 labels for 3 seeds"), "{few}");
    let mut wrong = Trajectory::new(ddim(2), &SEEDS, SHAPE, None, &Device::Cpu).unwrap();
    let error = wrong.step(&Guidance::new(1.0, None), |x, _, _| Ok(x.narrow(0, 0, 1)?)).unwrap_err();
    assert!(error.to_string().contains("answered [1, 1, 4, 4] to [3, 1, 4, 4]"), "{error}");
}

#[test]
fn an_interval_of_timesteps_holds_these_and_no_others() {
    let schedule = schedule();
    for (first, last) in [(0, 0), (0, 999), (10, 10), (200, 800), (999, 999)] {
        let interval = NoiseInterval::of_timesteps(first, last, &schedule).unwrap();
        for t in 0..1000 {
            assert_eq!(interval.contains(schedule.alpha_bar(t)), (first..=last).contains(&t), "{t}");
        }
    }
    assert!(NoiseInterval::of_timesteps(5, 4, &schedule).is_err());
    assert!(NoiseInterval::of_timesteps(5, 1000, &schedule).is_err());
    let zero = schedule.with_zero_terminal_snr();
    assert!(NoiseInterval::of_timesteps(999, 999, &zero).unwrap().contains(0.0));
}

/// A network that always sees the same image: every sampler arrives there.
fn sees(image: &Tensor) -> impl FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError> {
    let image = image.clone();
    move |x, _, _| Ok(image.broadcast_as(x.shape())?.contiguous()?)
}

fn picture() -> Tensor {
    Tensor::from_vec((0..16).map(|i| i as f32 / 8.0 - 1.0).collect(), (1, 1, 4, 4), &Device::Cpu).unwrap()
}

/// x = √ᾱ x_0 + √(1-ᾱ) ε at the first of the remaining steps.
#[test]
fn images_begin_with_the_noise_of_their_first_step() {
    let three = picture().repeat((3, 1, 1, 1)).unwrap();
    let last = steps(10).last(4);
    let sampler = Sampler::new(last.clone(), Prediction::V, Solver::Ddim(Ddim { eta: 0.0 })).unwrap();
    let trajectory = Trajectory::new(sampler, &SEEDS, SHAPE, None, &Device::Cpu).unwrap();
    let started = trajectory.with_images(&three).unwrap();
    let a = steps(10).alpha_bars()[6];
    assert_eq!((last.alpha_bars()[0], last.len()), (a, 4));
    let noise = initial_noise(&SEEDS, SHAPE, &Device::Cpu).unwrap();
    let expected = ((three * a.sqrt()).unwrap() + (noise * (1.0 - a).sqrt()).unwrap()).unwrap();
    assert!(worst(started.x(), &expected) < 1e-6);
    assert_eq!((steps(10).last(99).len(), steps(10).last(0).len()), (10, 1));
}

#[test]
fn what_is_known_arrives_unchanged_with_every_sampler() {
    let known = picture().repeat((3, 1, 1, 1)).unwrap();
    let unknown: Vec<f32> = (0..48).map(|i| f32::from(u8::from(i % 16 < 6))).collect();
    let unknown = Tensor::from_vec(unknown, (3, 1, 4, 4), &Device::Cpu).unwrap();
    let elsewhere = (known.neg().unwrap() * 0.5).unwrap();
    let dpm = |algorithm| {
        Solver::DpmSolver(DpmSolver {
            order: 2,
            algorithm,
            second_order: SecondOrder::Midpoint,
            third_order: ThirdOrder::Exact,
            lower_order_final: true,
            euler_at_final: true,
        })
    };
    let solvers = [
        Solver::Ddim(Ddim { eta: 0.0 }),
        Solver::Ddim(Ddim { eta: 1.0 }),
        Solver::Ddpm(Ddpm { variance: Variance::Small }),
        dpm(DpmAlgorithm::DataOde),
        dpm(DpmAlgorithm::DataSde),
    ];
    for solver in solvers {
        let sampler = Sampler::new(steps(6), Prediction::X0, solver).unwrap();
        let trajectory = Trajectory::new(sampler, &SEEDS, SHAPE, None, &Device::Cpu).unwrap();
        let known_part = Known::new(known.clone(), unknown.clone()).unwrap();
        let mut trajectory = trajectory.with_known(known_part).unwrap();
        while !trajectory.is_done() {
            trajectory.step(&Guidance::new(1.0, None), sees(&elsewhere.narrow(0, 0, 1).unwrap())).unwrap();
        }
        let expected = unknown.ne(0f32).unwrap().where_cond(&elsewhere, &known).unwrap();
        assert!(worst(trajectory.x(), &expected) < 1e-5, "{solver:?}");
    }
    assert!(Known::new(known.clone(), unknown.narrow(0, 0, 1).unwrap()).is_err());
}

/// Sampling from the noise that an inversion finds returns to the images: roughly with one iteration,
/// closely with more.
#[test]
fn an_inversion_is_undone_by_sampling() {
    let images = Tensor::cat(&[picture(), picture().neg().unwrap(), (picture() * 0.3).unwrap()], 0).unwrap();
    let network = Network::default();
    let labels = Labels::new(&[3, 0, 9]);
    let error = |iterations: usize| {
        let guidance = Guidance::new(1.0, Some(NULL));
        let mut inversion =
            Inversion::new(ddim(8), images.clone(), Some(labels.clone()), iterations).unwrap();
        let mut denoise = |x: &Tensor, t: &Tensor, l: Option<&Tensor>| network.answer(x, t, l);
        while !inversion.is_done() {
            inversion.step(&guidance, Networks { denoise: &mut denoise, guide: None }).unwrap();
        }
        assert_eq!(network.asked.take().len(), 8 * iterations);
        let trajectory = Trajectory::new(ddim(8), &SEEDS, SHAPE, Some(labels.clone()), &Device::Cpu).unwrap();
        let mut trajectory = trajectory.with_noise(inversion.x().clone()).unwrap();
        while !trajectory.is_done() {
            trajectory.step(&guidance, |x, t, l| network.answer(x, t, l)).unwrap();
        }
        network.asked.take();
        worst(trajectory.x(), &images)
    };
    let errors = [1, 4, 12].map(error);
    assert!(errors[0] > 5.0 * errors[1] && errors[2] < 1e-5, "{errors:?}");
    assert!(Inversion::new(ddim(8), images.clone(), None, 0).is_err());
    // Steps that are not DDIM's, or that depend on earlier steps.
    let guidance = || Guidance::new(0.5, Some(NULL));
    for (wrong, cause) in [
        (guidance().with_renoise(Renoise::Null), "CFG++"),
        (guidance().with_history(History::new(0.5, NoiseInterval::default()).unwrap()), "history"),
        (guidance().with_rule(Rule::Apg(Apg::PAPER)), "momentum"),
    ] {
        let mut inversion = Inversion::new(ddim(8), images.clone(), Some(labels.clone()), 1).unwrap();
        let mut denoise = |x: &Tensor, t: &Tensor, l: Option<&Tensor>| network.answer(x, t, l);
        let step = inversion.step(&wrong, Networks { denoise: &mut denoise, guide: None });
        assert!(step.unwrap_err().to_string().contains(cause));
    }
}

#[test]
fn noise_between_two_seeds_is_as_large_as_noise() {
    let noise = initial_noise(&[1, 2], (1, 28, 28), &Device::Cpu).unwrap();
    let (a, b) = (noise.get(0).unwrap(), noise.get(1).unwrap());
    let norm = |x: &Tensor| values(x).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    assert!(worst(&interpolate_noise(&a, &b, 0.0).unwrap(), &a) < 1e-6);
    assert!(worst(&interpolate_noise(&a, &b, 1.0).unwrap(), &b) < 1e-6);
    for u in [0.2, 0.5, 0.8] {
        let between = norm(&interpolate_noise(&a, &b, u).unwrap());
        let (low, high) = (norm(&a).min(norm(&b)), norm(&a).max(norm(&b)));
        assert!((0.97 * low..1.03 * high).contains(&between), "{between}");
    }
    assert!(worst(&interpolate_noise(&a, &a, 0.3).unwrap(), &a) < 1e-6);
}

#[test]
fn clipping_goes_with_the_sampler() {
    let sampler = ddim(3).with_clip(Clip::Static { limit: 0.5 }).unwrap();
    let mut trajectory = Trajectory::new(sampler, &SEEDS, SHAPE, None, &Device::Cpu).unwrap();
    while !trajectory.is_done() {
        trajectory.step(&Guidance::new(1.0, None), |x, _, _| Ok(x.affine(-3.0, 0.0)?)).unwrap();
    }
    assert!(values(trajectory.x()).iter().all(|value| value.abs() <= 0.5 + 1e-6));
}
