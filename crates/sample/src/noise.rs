//! The noise of sampled images: each image has one stream, which its seed fixes.

use candle_core::{Device, Error, Result, Tensor};
use duet_random::Draws;

/// Standard normal starting noise x_T, shape (n, C, H, W) for n seeds.
///
/// It depends only on the seed and the shape, so that a seed gives the same noise for every class, guidance
/// weight and sampler.
pub fn initial_noise(seeds: &[u64], shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    noise(seeds, "starting noise", 0, shape, device)
}

/// Standard normal noise that a stochastic sampler adds in step `i`, shape (n, C, H, W).
pub fn step_noise(seeds: &[u64], i: usize, shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    noise(seeds, "step noise", i as u64, shape, device)
}

/// The noise between `a` (u = 0) and `b` (u = 1), both (C, H, W), along a great circle. On it, the result
/// is as large as noise should be (Shoemake 1985; Song et al. 2021, equation 67).
///
/// sin((1-u)θ)/sin θ · a + sin(uθ)/sin θ · b, where θ is the angle between a and b; a straight line if they
/// are parallel.
pub fn interpolate_noise(a: &Tensor, b: &Tensor, u: f64) -> Result<Tensor> {
    let dot = |a: &Tensor, b: &Tensor| Ok::<_, Error>(f64::from((a * b)?.sum_all()?.to_scalar::<f32>()?));
    let cosine = dot(a, b)? / (dot(a, a)? * dot(b, b)?).sqrt();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (of_a, of_b) = match angle.sin() {
        sine if sine < 1e-6 => (1.0 - u, u),
        sine => (((1.0 - u) * angle).sin() / sine, (u * angle).sin() / sine),
    };
    (a * of_a)? + (b * of_b)?
}

/// Moves the noise of each of n images a share `u` of the way towards the other's; both are (n, C, H, W).
pub(crate) fn towards(noise: &Tensor, others: &Tensor, u: &[f64]) -> Result<Tensor> {
    let between = |(i, &u): (usize, &f64)| interpolate_noise(&noise.get(i)?, &others.get(i)?, u);
    Tensor::stack(&u.iter().enumerate().map(between).collect::<Result<Vec<_>>>()?, 0)
}

fn noise(
    seeds: &[u64],
    purpose: &str,
    index: u64,
    (channels, height, width): (usize, usize, usize),
    device: &Device,
) -> Result<Tensor> {
    let image = channels * height * width;
    let mut values = vec![0f32; seeds.len() * image];
    for (values, &seed) in values.chunks_mut(image.max(1)).zip(seeds) {
        Draws::new(seed, purpose, index).fill_normal(values);
    }
    Tensor::from_vec(values, (seeds.len(), channels, height, width), device)
}
