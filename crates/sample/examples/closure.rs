//! Samples from a denoiser without a network: the exact ε of a mixture of two points for each class.
//!
//! Guidance works here too: a larger w brings the samples closer to the points of the requested class.
use candle_core::{Device, Tensor};
use duet_sample::{Guidance, Labels, SampleError, Sampler, Trajectory};
use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction, Spacing};

/// Classes 0 and 1 are at -0.5 and +0.5. Label 2 is the null label, which covers both.
const CENTRES: [&[f64]; 3] = [&[-0.5], &[0.5], &[-0.5, 0.5]];

fn main() -> Result<(), SampleError> {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000)?;
    let timesteps = Spacing::Trailing.timesteps(20, &schedule)?;
    // The posterior mean of x_0: the centres, weighted by how well each explains x.
    let denoise = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, SampleError> {
        let a = schedule.alpha_bar(t.to_vec1::<u32>()?[0] as usize);
        let labels = labels.map(|l| l.to_vec1::<u32>()).transpose()?.unwrap_or_default();
        let xs = x.flatten_all()?.to_vec1::<f32>()?;
        let means = xs.iter().zip(labels).map(|(&x, label)| {
            let weight = |c: f64| (-(f64::from(x) - a.sqrt() * c).powi(2) / (2.0 * (1.0 - a) + 0.02)).exp();
            let centres = CENTRES[label as usize].iter();
            let sums = centres.fold((1e-30, 0.0), |s, &c| (s.0 + weight(c), s.1 + weight(c) * c));
            (sums.1 / sums.0) as f32
        });
        Ok(Tensor::from_vec(means.collect(), x.shape(), x.device())?)
    };
    let labels = Labels::new(&[0, 0, 1, 1]);
    for weight in [0.0, 1.0, 2.0] {
        let ddim = Sampler::ddim(&schedule, &timesteps, Prediction::X0, 0.0)?;
        let mut trajectory =
            Trajectory::new(ddim, &[0, 1, 2, 3], (1, 1, 1), Some(labels.clone()), &Device::Cpu)?;
        while !trajectory.is_done() {
            trajectory.step(&Guidance::new(weight, Some(2)), denoise)?;
        }
        println!("w = {weight}: {:.3?}", trajectory.x().flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(())
}
