//! Noise of sampled images: one stream an image, fixed by its seed.

use candle_core::{Device, Error, Result, Tensor};
use duet_random::Draws;

/// Standard normal starting noise x_T, shape (n, C, H, W) for n seeds.
///
/// Depends on the seed and the shape alone, so that one seed gives the same noise for every class,
/// guidance weight and sampler.
pub fn initial_noise(seeds: &[u64], shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    noise(seeds, "starting noise", 0, shape, device)
}

/// Standard normal noise that a stochastic sampler adds in step `i`, shape (n, C, H, W).
pub fn step_noise(seeds: &[u64], i: usize, shape: (usize, usize, usize), device: &Device) -> Result<Tensor> {
    noise(seeds, "step noise", i as u64, shape, device)
}

/// From noise `a` to noise `b`, both (C, H, W): `u` from 0 to 1 of the way along the great circle, on
/// which it stays as large as noise is (Shoemake 1985; Song et al. 2021, equation 67).
///
/// sin((1-u)θ)/sin θ · a + sin(uθ)/sin θ · b, θ the angle between them; a straight line where they are
/// parallel.
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

/// `noise` (n, C, H, W) of n images, `u` of the way from each image's towards that of another's.
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
