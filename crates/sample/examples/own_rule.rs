//! Your own rules of guidance as closures: the plain rule again, and a rule with a limit.
use candle_core::{Device, Tensor};
use duet_sample::{Guidance, Labels, Plain, PredictionPair, Rule, SampleError, Sampler, Terms, Trajectory};
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction, Spacing};

/// Classes 0 and 1 are at -0.5 and 0.5. Label 2, which means no class, is between them.
const NULL: u32 = 2;

/// p(x, ∅) + w (p(x, c) - p(x, ∅))
fn plain(pair: PredictionPair<'_>) -> Result<Tensor, SampleError> {
    Ok((pair.free + (pair.given - pair.free)?.broadcast_mul(pair.weights)?)?)
}

/// The plain rule in x_0, but guidance moves each pixel by at most a tenth.
fn limited(pair: PredictionPair<'_>) -> Result<Tensor, SampleError> {
    let moved = (plain(pair)? - pair.given)?.clamp(-0.1, 0.1)?;
    Ok((pair.given + moved)?)
}

fn draw(rule: impl Into<Rule>) -> Result<Vec<f32>, SampleError> {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000)?;
    let timesteps = Spacing::Trailing.timesteps(10, &schedule)?;
    let sampler = Sampler::ddim(&schedule, &timesteps, Prediction::X0, 0.0)?;
    let guidance = Guidance::new(3.0, Some(NULL)).with_rule(rule);
    let labels = Labels::new(&[0, 0, 1, 1]);
    let mut trajectory = Trajectory::new(sampler, &[0, 1, 2, 3], (1, 1, 1), Some(labels), &Device::Cpu)?;
    while !trajectory.is_done() {
        trajectory.step(&guidance, |x, _, labels| {
            let labels = labels.map(|labels| labels.to_vec1::<u32>()).transpose()?.unwrap_or_default();
            let images = labels.iter().map(|&label| [-0.5f32, 0.5, 0.0][label as usize]).collect();
            Ok(Tensor::from_vec(images, x.shape(), x.device())?)
        })?;
    }
    Ok(trajectory.x().flatten_all()?.to_vec1()?)
}

fn main() -> Result<(), SampleError> {
    assert_eq!(draw(Rule::custom("own", Terms::Predicted, plain))?, draw(Plain)?);
    println!("plain:   {:.2?}", draw(Plain)?);
    println!("limited: {:.2?}", draw(Rule::custom("limited", Terms::X0, limited))?);
    Ok(())
}
