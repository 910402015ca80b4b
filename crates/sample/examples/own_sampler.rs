//! Your own sampler as a table of factors: DDIM between any levels. It equals this crate's DDIM.
use candle_core::{Device, Tensor};
use duet_sample::{Guidance, SampleError, Sampler, Trajectory, Update};
use duet_schedule::{BetaSchedule, Ddim, NoiseSchedule, Prediction, Spacing, Steps};

/// x' = √ᾱ' x̂_0 + √(1-ᾱ') ε̂ (Song et al. 2021, equation 12 with η = 0).
fn own_updates(steps: &Steps) -> Vec<Update> {
    let update =
        |next: f64| Update { x0: vec![next.sqrt()], epsilon: vec![(1.0 - next).sqrt()], ..Update::default() };
    steps.alpha_bars()[1..].iter().map(|&next| update(next)).collect()
}

fn draw(sampler: Sampler) -> Result<Vec<f32>, SampleError> {
    let mut trajectory = Trajectory::new(sampler, &[0, 1, 2], (1, 2, 2), None, &Device::Cpu)?;
    while !trajectory.is_done() {
        // A stand-in for a network.
        trajectory.step(&Guidance::new(1.0, None), |x: &Tensor, _, _| Ok(x.affine(0.3, 0.1)?))?;
    }
    Ok(trajectory.x().flatten_all()?.to_vec1()?)
}

fn main() -> Result<(), SampleError> {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000)?;
    let steps = Steps::new(&schedule, &Spacing::Trailing.timesteps(10, &schedule)?)?;
    let own = Sampler::from_updates(steps.clone(), own_updates(&steps), Prediction::V)?;
    let ours = Sampler::new(steps, Prediction::V, Ddim { eta: 0.0 })?;
    let images = draw(own)?;
    assert_eq!(images, draw(ours)?);
    println!("{images:.3?}");
    Ok(())
}
