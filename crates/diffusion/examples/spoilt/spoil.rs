//! Spoils a share of images, for the example and its test.
use candle_core::{Device, Result, Tensor};
use duet_random::Draws;

/// The images (n, C, H, W) with a share of them spoilt, in turn: noise, two images at once, and one with a square of
/// another. Which ones is drawn by the seed, and those of a smaller share are among those of a larger one.
pub fn spoilt(images: &Tensor, share: f64, seed: u64) -> Result<Tensor> {
    let (n, channels, height, width) = images.dims4()?;
    let length = channels * height * width;
    let clean = images.flatten_all()?.to_vec1::<f32>()?;
    let mut values = clean.clone();
    let order = Draws::new(seed, "spoilt", 0).permutation(n as u32);
    for (kind, &i) in order[..(share * n as f64).round() as usize].iter().enumerate() {
        let mut draws = Draws::new(seed, "spoilt image", u64::from(i));
        let other = &clean[draws.below(n as u64) as usize * length..][..length];
        let image = &mut values[i as usize * length..][..length];
        match kind % 3 {
            0 => image
                .iter_mut()
                .for_each(|value| *value = (*value + 2.0 * draws.uniform() as f32 - 1.0) / 2.0),
            1 => image.iter_mut().zip(other).for_each(|(value, other)| *value = (*value + other) / 2.0),
            _ => {
                let (top, left) = (draws.below(height as u64 / 2), draws.below(width as u64 / 2));
                for (p, value) in image.iter_mut().enumerate() {
                    let (y, x) = ((p / width % height) as u64, (p % width) as u64);
                    if (top..top + height as u64 / 2).contains(&y)
                        && (left..left + width as u64 / 2).contains(&x)
                    {
                        *value = other[p];
                    }
                }
            }
        }
    }
    Tensor::from_vec(values, (n, channels, height, width), &Device::Cpu)
}
