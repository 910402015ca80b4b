//! A bound on the likelihood, in bits per dimension.

use crate::denoiser::{Denoiser, Labelled, Probe};
use crate::error::EvalError;
use duet_random::Draws;

/// The number of values of a pixel with 8 bits.
const LEVELS: usize = 256;

/// An upper bound of the bits for each dimension (value) of the images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bits {
    /// The bound: the sum of the three parts.
    pub total: f64,
    /// The cost of the information about the image in the last, noisiest x.
    pub prior: f64,
    /// The cost of the denoiser's errors.
    pub diffusion: f64,
    /// The cost of the details that the first, almost clean x leaves open.
    pub reconstruction: f64,
    /// The standard error of the total over the images.
    pub error: f64,
}

/// The variational bound on -log_2 p(x_0) for each value (Kingma et al. 2021, equations 11 to 15). The
/// images (n, C, H, W) have values of 8 bits, v/127.5 - 1.
///
/// - Prior: KL(q(x_{T-1}|x_0) ‖ N(0, I)).
/// - Diffusion: Σ_t ½ (SNR(t-1) - SNR(t)) ‖x_0 - x̂_0(x_t, t)‖² over t from 1 to T-1. The timesteps are cut
///   into `strata` parts, and one t of each part estimates its sum. The parts are shorter at small t, where
///   most of the sum is. x̂_0 is clipped to the range of a pixel. The sum is a bound for any function of
///   x_t in place of x̂_0, and a tighter bound for a better one.
/// - Reconstruction: -log p(x_0|x_0'), where every value's distribution over the 256 levels is ∝ N(x_0';
///   √ᾱ_0 v, 1-ᾱ_0).
///
/// The network is evaluated at most `strata` times for each image.
///
/// Errors: no images; not one label for each image; no strata; the network's errors.
pub fn bits_per_dimension(
    denoiser: &mut Denoiser<'_>,
    data: Labelled<'_>,
    strata: usize,
    seed: u64,
) -> Result<Bits, EvalError> {
    let count = data.count()?;
    let total = denoiser.schedule.len();
    if strata == 0 || total < 2 {
        return Err(EvalError::TooFew { what: "strata or timesteps", needed: 1, rows: 0 });
    }
    let ends = ends(strata, total);
    let mut rows = Vec::new();
    let mut factors = Vec::new();
    let snr = |t: usize| denoiser.schedule.alpha_bar(t) / (1.0 - denoiser.schedule.alpha_bar(t));
    for image in 0..count {
        let mut draws = Draws::new(seed, "likelihood timesteps", image as u64);
        for (k, pair) in ends.windows(2).enumerate() {
            let length = pair[1] - pair[0];
            let t = pair[0] + draws.below(length as u64) as usize;
            rows.push(Probe { image, t, draw: k as u64, label: data.label(image) });
            factors.push(0.5 * (snr(t - 1) - snr(t)) * length as f64);
        }
    }
    let values = data.images.elem_count() / count;
    let to_bits = 1.0 / (values as f64 * std::f64::consts::LN_2);
    let (first, last) = (denoiser.schedule.alpha_bar(0), denoiser.schedule.alpha_bar(total - 1));
    let errors = denoiser.errors(data.images, &rows, (seed, "likelihood noise"))?;
    let mut sums = vec![0f64; count];
    for ((row, factor), errors) in rows.iter().zip(&factors).zip(&errors) {
        sums[row.image] += factor * errors.x0 * to_bits;
    }
    let diffusion = mean(&sums);
    let pixels = data.images.flatten_from(1)?.to_vec2::<f32>()?;
    let priors: Vec<f64> = pixels.iter().map(|image| prior(image, last) * to_bits).collect();
    let of = |i: usize| reconstruction(&pixels[i], first, Draws::new(seed, "likelihood pixels", i as u64));
    let reconstructions: Vec<f64> = (0..count).map(|i| of(i) * to_bits).collect();
    for (sum, (prior, reconstruction)) in sums.iter_mut().zip(priors.iter().zip(&reconstructions)) {
        *sum += prior + reconstruction;
    }
    let total = mean(&sums);
    let variance = sums.iter().map(|bits| (bits - total).powi(2)).sum::<f64>() / (count.max(2) - 1) as f64;
    Ok(Bits {
        total,
        prior: mean(&priors),
        diffusion,
        reconstruction: mean(&reconstructions),
        error: (variance / count as f64).sqrt(),
    })
}

/// The first timesteps of the strata, and T: geometric from 1 to T, each stratum at least one timestep
/// long.
fn ends(strata: usize, total: usize) -> Vec<usize> {
    let end = |k: usize| (total as f64).powf(k as f64 / strata as f64).round() as usize;
    let mut ends: Vec<usize> = (0..=strata).map(end).collect();
    ends.dedup();
    ends
}

/// KL(N(√ᾱ x_0, 1-ᾱ) ‖ N(0, 1)) in nats, summed over the image.
fn prior(image: &[f32], alpha_bar: f64) -> f64 {
    let of = |&v: &f32| alpha_bar * f64::from(v).powi(2) - alpha_bar - (-alpha_bar).ln_1p();
    0.5 * image.iter().map(of).sum::<f64>()
}

/// -log p(x_0|x) in nats at one x drawn from q(x|x_0) at the first timestep.
fn reconstruction(image: &[f32], alpha_bar: f64, mut draws: Draws) -> f64 {
    let width = ((1.0 - alpha_bar) / alpha_bar).sqrt();
    let mut sum = 0.0;
    for &value in image {
        let value = f64::from(value);
        let seen = value + width * draws.normal();
        let logit = |v: f64| -((seen - v) / width).powi(2) / 2.0;
        let logits = (0..LEVELS).map(|level| logit(level as f64 / 127.5 - 1.0));
        let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
        sum += largest + logits.map(|l| (l - largest).exp()).sum::<f64>().ln() - logit(value);
    }
    sum
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
