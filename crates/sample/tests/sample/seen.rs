//! What the networks saw in a step recombines to what the sampler steps with.

use candle_core::{Device, Tensor};
use duet_sample::{
    Denoise, Guidance, Labels, Networks, NoiseInterval, SampleError, Sampler, Seen, Trajectory, Views,
};
use duet_schedule::{BetaSchedule, Clip, Heun, NoiseSchedule, Prediction, Solver, Steps};

const SHAPE: (usize, usize, usize) = (1, 3, 2);
const NULL: u32 = 5;

/// A network whose answer depends on x, t and the label.
fn answer(x: &Tensor, t: &Tensor, labels: Option<&Tensor>) -> Result<Tensor, SampleError> {
    let column = |values: Tensor| values.to_dtype(candle_core::DType::F32)?.reshape(((), 1, 1, 1));
    let of_label = column(labels.unwrap().clone())?.affine(0.2, -0.3)?;
    let of_time = column(t.clone())?.affine(1e-3, 0.1)?;
    Ok((x * 0.7)?.tanh()?.broadcast_add(&of_label)?.broadcast_mul(&of_time)?)
}

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(&BetaSchedule::ScaledLinear, 1000).unwrap()
}

fn sampler(prediction: Prediction, solver: impl Into<Solver>, clip: Clip) -> Sampler {
    let steps = Steps::new(&schedule(), &[900, 700, 500, 300, 100]).unwrap();
    Sampler::new(steps, prediction, solver).unwrap().with_clip(clip).unwrap()
}

fn start(sampler: Sampler) -> Trajectory {
    let labels = Labels::mixtures(vec![vec![(1, 1.0)], vec![(0, 0.25), (3, 0.75)], vec![(2, 1.0)]]).unwrap();
    Trajectory::new(sampler, &[7, 8, 9], SHAPE, Some(labels), &Device::Cpu).unwrap()
}

fn networks<'a>(denoise: &'a mut Denoise<'a>) -> Networks<'a> {
    Networks { denoise, guide: None }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Every step of a trajectory, and its images.
fn seen(sampler: Sampler, guidance: &Guidance) -> (Vec<Seen>, Tensor) {
    let mut trajectory = start(sampler);
    let mut all = Vec::new();
    while !trajectory.is_done() {
        all.extend(trajectory.step_seen(guidance, networks(&mut answer)).unwrap());
    }
    assert!(trajectory.step_seen(guidance, networks(&mut answer)).unwrap().is_none());
    (all, trajectory.x().clone())
}

#[test]
fn both_views_recombine_to_the_guided_one_before_clipping() {
    for prediction in [Prediction::Epsilon, Prediction::V, Prediction::X0] {
        let weights = [3.0, -0.5, 1.7];
        let guidance = Guidance::new(2.0, Some(NULL)).with_weights(weights.to_vec());
        let (steps, _) = seen(sampler(prediction, Heun, Clip::No), &guidance);
        assert!(steps.len() > 5, "Heun sees more steps than there are intervals");
        for step in steps {
            for (i, w) in weights.into_iter().enumerate() {
                let Views { given: Some(given), free: Some(free) } = step.views(i).unwrap() else {
                    panic!("guidance needs both")
                };
                let guided = values(&step.x0.get(i).unwrap());
                let pairs = values(&given).into_iter().zip(values(&free)).zip(guided);
                for ((given, free), guided) in pairs {
                    let expected = free + w as f32 * (given - free);
                    let off = (expected - guided).abs() / (1.0 + expected.abs());
                    assert!(off < 1e-4, "{prediction}: {expected}, not {guided}");
                }
            }
        }
    }
}

#[test]
fn a_view_that_no_network_was_asked_for_is_none() {
    let guidance = Guidance::new(1.0, Some(NULL))
        .with_weights(vec![1.0, 0.0, 2.0])
        .with_interval(NoiseInterval::of_timesteps(400, 999, &schedule()).unwrap());
    let (steps, _) = seen(sampler(Prediction::V, duet_schedule::Ddim { eta: 0.0 }, Clip::No), &guidance);
    for step in steps {
        let there = |i: usize| {
            let Views { given, free } = step.views(i).unwrap();
            (given.is_some(), free.is_some())
        };
        let expected = match step.place.timestep >= 400 {
            true => [(true, false), (false, true), (true, true)],
            false => [(true, false); 3],
        };
        assert_eq!([0, 1, 2].map(there), expected, "t = {}", step.place.timestep);
        // Where one is enough, it is the guided one.
        let alone = step.views(0).unwrap().given.unwrap();
        assert_eq!(values(&alone), values(&step.x0.get(0).unwrap()));
    }
}

#[test]
fn looking_changes_nothing() {
    let guidance = Guidance::new(2.5, Some(NULL));
    for clip in [Clip::No, Clip::Static { limit: 0.5 }] {
        let sampler = || sampler(Prediction::Epsilon, duet_schedule::Ddim { eta: 1.0 }, clip);
        let (steps, images) = seen(sampler(), &guidance);
        let mut unseen = start(sampler());
        for step in &steps {
            assert_eq!(values(unseen.x()), values(&step.x));
            unseen.step(&guidance, answer).unwrap();
            assert_eq!(values(unseen.x0().unwrap()), values(&step.x0));
        }
        assert_eq!(values(unseen.x()), values(&images));
    }
}
