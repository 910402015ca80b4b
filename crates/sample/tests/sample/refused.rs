//! The library refuses what the command line refuses, before it draws a wrong image.
use candle_core::{Device, Tensor};
use duet_sample::{
    Apg, Away, Estimate, Guidance, GuidanceInterval, GuidanceMemory, History, Known, Labels, Networks,
    NoiseInterval, Place, PredictionPair, Reading, Renoise, Rescale, Rule, SampleError, Sampler, State,
    Strength, Terms, Trajectory, Update, WeightSchedule,
};
use duet_schedule::{BetaSchedule, Clip, Ddim, Heun, NoiseSchedule, Prediction, Solver, Spacing, Steps};

const NULL: u32 = 10;

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap()
}

fn steps(n: usize) -> Steps {
    let schedule = schedule();
    Steps::new(&schedule, &Spacing::Trailing.timesteps(n, &schedule).unwrap()).unwrap()
}

fn trajectory(solver: impl Into<Solver>) -> Trajectory {
    let sampler = Sampler::new(steps(4), Prediction::V, solver).unwrap();
    let labels = Labels::new(&[3, 4]);
    Trajectory::new(sampler, &[0, 1], (1, 2, 2), Some(labels), &Device::Cpu).unwrap()
}

/// The error of the first step.
fn refused(solver: impl Into<Solver>, guidance: &Guidance) -> String {
    let mut trajectory = trajectory(solver);
    let step = trajectory.step(guidance, |x, _, _| Ok(x.affine(0.3, 0.1)?));
    assert_eq!(trajectory.progress().0, 0);
    step.unwrap_err().to_string()
}

fn message<T>(result: Result<T, SampleError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn cfg_plus_plus_with_heun_and_with_a_weight_that_is_no_share() {
    let guidance = |w| Guidance::new(w, Some(NULL)).with_renoise(Renoise::Null);
    assert!(refused(Heun, &guidance(0.6)).contains("heun asks twice"));
    for w in [-0.1, 1.1, f64::NAN] {
        let error = refused(Ddim { eta: 0.0 }, &guidance(w));
        assert_eq!(error, format!("guidance {w}: with CFG++ it is 0 to 1"));
    }
    let listed = guidance(0.5).with_schedule(WeightSchedule::List(vec![0.5, 0.5, 0.5, 2.0]));
    assert!(refused(Ddim { eta: 0.0 }, &listed).contains("guidance 2: with CFG++"));
}

#[test]
fn weights_that_are_no_numbers_or_not_as_many_as_there_are_steps() {
    for w in [f64::INFINITY, f64::NAN] {
        assert!(refused(Ddim { eta: 0.0 }, &Guidance::new(w, Some(NULL))).contains("finite"));
    }
    let listed =
        |list: &[f64]| Guidance::new(1.0, Some(NULL)).with_schedule(WeightSchedule::List(list.to_vec()));
    assert!(refused(Ddim { eta: 0.0 }, &listed(&[1.0; 3])).contains("3 guidance weights for 4 steps"));
    assert!(refused(Ddim { eta: 0.0 }, &listed(&[])).contains("0 guidance weights"));
    assert!(
        refused(Heun, &listed(&[1.0; 7])).contains("7 guidance weights for 4 steps, or intervals of heun")
    );
    // This holds also if the first step is not guided at all.
    let late = listed(&[1.0; 3]).with_interval(NoiseInterval::new(0.0, 0.5).unwrap());
    assert!(refused(Ddim { eta: 0.0 }, &late).contains("3 guidance weights for 4 steps"));
    assert!(refused(Ddim { eta: 0.0 }, &Guidance::new(2.0, None)).contains("no null label"));
    let nowhere = Guidance::new(2.0, None).with_away(Away::Independent { classes: 0 });
    assert!(refused(Ddim { eta: 0.0 }, &nowhere).contains("0 classes"));
    let guide = Guidance::new(2.0, None).with_away(Away::Guide);
    assert!(refused(Ddim { eta: 0.0 }, &guide).contains("another model, which is not there"));
}

#[test]
fn settings_of_guidance_that_are_out_of_range() {
    for (eta, norm, momentum, named) in [
        (1.1, 1.0, 0.0, "eta 1.1: must be 0 to 1"),
        (-0.1, 1.0, 0.0, "eta -0.1"),
        (f64::NAN, 1.0, 0.0, "eta NaN"),
        (0.0, 0.0, 0.0, "norm 0: must be above 0"),
        (0.0, f64::NAN, 0.0, "norm NaN"),
        (0.0, 1.0, -1.1, "momentum -1.1: must be -1 to 1"),
        (0.0, 1.0, f64::NAN, "momentum NaN"),
    ] {
        assert!(message(Apg::new(eta, norm, momentum)).contains(named), "{named}");
    }
    assert_eq!(Apg::new(0.0, f64::INFINITY, -0.5).unwrap(), Apg::PAPER);
    for phi in [-0.1, 1.1, f64::NAN] {
        assert_eq!(message(Rescale::new(phi)), format!("rescale {phi}: must be 0 to 1"));
    }
    assert!(message(History::new(-1.0, NoiseInterval::default())).contains("history -1: must be 0 or more"));
    assert!(message(NoiseInterval::new(5.0, 1.0)).contains("5 to 1"));
    let beyond = GuidanceInterval::Timesteps { first: 0, last: 1000 };
    assert!(message(beyond.noise_interval(&schedule())).contains("at most at 999"));
}

#[test]
fn samplers_with_settings_out_of_range() {
    for eta in [-0.1, 1.5, f64::NAN] {
        let error = message(Sampler::new(steps(4), Prediction::V, Ddim { eta }));
        assert_eq!(error, format!("eta {eta}: must be 0 to 1"));
    }
    let sampler = || Sampler::new(steps(4), Prediction::V, Ddim { eta: 0.0 }).unwrap();
    let x = Tensor::zeros((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    for clip in [
        Clip::Static { limit: 0.0 },
        Clip::Static { limit: f64::NAN },
        Clip::Dynamic { ratio: 1.5, max: 1.0 },
        Clip::Dynamic { ratio: 0.5, max: -1.0 },
    ] {
        assert!(message(sampler().with_clip(clip)).contains("clip"), "{clip:?}");
        assert!(message(Estimate::new(&x, &x, Prediction::V, 0.5, clip)).contains("clip"), "{clip:?}");
    }
    let zero = schedule().with_zero_terminal_snr();
    let from_noise = || Steps::new(&zero, &[999, 500]).unwrap();
    let updates = vec![Update { x: 1.0, ..Update::default() }; 2];
    assert!(
        message(Sampler::from_updates(from_noise(), updates, Prediction::Epsilon))
            .contains("zero terminal SNR")
    );
    let short = vec![Update::default(); 3];
    assert!(message(Sampler::from_updates(steps(4), short, Prediction::V)).contains("3 of them for 4 steps"));
}

#[test]
fn starts_that_no_flag_gives() {
    for share in [0.0, -0.5, 1.1, f64::NAN] {
        assert_eq!(message(Strength::new(share)), format!("strength {share}: above 0 and at most 1"));
    }
    for u in [-0.1, 1.1, f64::NAN] {
        let error = message(trajectory(Heun).with_towards(&[(7, 0.5), (7, u)]));
        assert!(error.contains("0 to 1"), "{error}");
    }
    assert!(message(trajectory(Heun).with_towards(&[(7, 0.5)])).contains("1 other seeds for 2"));
    let full = |value: f32| Tensor::full(value, (2, 1, 2, 2), &Device::Cpu).unwrap();
    for value in [-0.1, 1.1, f32::NAN] {
        assert!(message(Known::new(full(0.0), full(value))).contains("mask"), "{value}");
    }
    assert!(Known::new(full(0.0), full(0.5)).is_ok());
    assert!(message(Labels::mixtures(vec![vec![(0, 0.5), (1, 0.6)]])).contains("sum to 1.1"));
}

#[test]
fn a_rule_of_ones_own_that_answers_another_shape() {
    let narrow = |pair: PredictionPair<'_>| Ok(pair.given.narrow(2, 0, 1)?);
    let guidance = Guidance::new(2.0, Some(NULL)).with_rule(Rule::custom("narrow", Terms::X0, narrow));
    let error = refused(Ddim { eta: 0.0 }, &guidance);
    assert!(error.contains("custom:narrow answered [2, 1, 1, 2] to [2, 1, 2, 2]"), "{error}");
}

/// A custom rule gets both predictions in its terms, for every kind of prediction of the network.
#[test]
fn a_rule_of_ones_own_is_that_rule() {
    let own = Rule::custom("twice", Terms::X0, |pair: PredictionPair<'_>| {
        let difference = (pair.given - pair.free)?.broadcast_mul(pair.weights)?;
        Ok((pair.free + difference)?)
    });
    let x = Tensor::new(&[[[[0.5f32, -1.0], [2.0, 0.1]]]], &Device::Cpu).unwrap();
    let labels = Labels::new(&[3]);
    let place = Place { interval: 0, intervals: 4, at_end: false, timestep: 500, alpha_bar: 0.3 };
    for prediction in [Prediction::Epsilon, Prediction::V, Prediction::X0] {
        let estimate = |guidance: Guidance| {
            let mut denoise = |x: &Tensor, _: &Tensor, labels: Option<&Tensor>| {
                let scale = labels.unwrap().to_dtype(candle_core::DType::F32)?.reshape(((), 1, 1, 1))?;
                Ok(x.broadcast_mul(&(scale * 0.1)?)?)
            };
            let state = State { x: &x, labels: Some(&labels), seeds: &[0], place };
            let networks = &mut Networks { denoise: &mut denoise, guide: None };
            let reading = Reading { prediction, clip: Clip::No };
            guidance.estimate(state, reading, &mut GuidanceMemory::default(), networks).unwrap().x0
        };
        let guidance = || Guidance::new(3.0, Some(NULL));
        let difference = (estimate(guidance()) - estimate(guidance().with_rule(own.clone()))).unwrap();
        let worst = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{prediction}: {worst}");
    }
}
