//! Noise of sampled images: one stream an image, fixed by its seed.

use candle_core::{Device, Result, Tensor};
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
