//! The denoising loss on images that training never sees.

use crate::batch::Batch;
use crate::error::TrainError;
use crate::objective::{BatchDraws, Objective};
use crate::options::Diffusion;
use candle_core::Device;
use duet_data::Dataset;
use duet_model::{Purpose, UNet};
use duet_random::Draws;
use duet_schedule::NoiseSchedule;

/// Which held-out images are used, and how many at a time.
#[derive(Debug, Clone, Copy)]
pub struct HeldOut {
    /// The number of images, from the beginning of the split; at most all are used.
    pub images: usize,
    /// The number of images in one pass.
    pub batch: usize,
}

/// The draws have a fixed seed of their own, so that runs with different seeds can be compared.
const SEED: u64 = 0x6865_6c64_6f75_7421;

/// Mean over images and pixels of (target - prediction)², unweighted, given each image's class.
///
/// The noise is fixed, and the i-th of n images has the i-th of n evenly spread timesteps. Two values
/// therefore differ only because of the networks.
/// Errors: no image; those of the network.
pub fn held_out_loss(
    unet: &UNet,
    dataset: &Dataset,
    diffusion: &Diffusion,
    schedule: &NoiseSchedule,
    options: HeldOut,
    device: &Device,
) -> Result<f64, TrainError> {
    let count = options.images.min(dataset.len());
    if count == 0 || options.batch == 0 {
        return Err(TrainError::Option("the held-out loss needs at least one image".into()));
    }
    // Classes alternate in some data sets. A random order makes timestep and class independent.
    let order = Draws::new(SEED, "held-out order", 0).permutation(count as u32);
    let indices: Vec<usize> = order.iter().map(|&i| i as usize).collect();
    let objective = Objective::unweighted(schedule, diffusion.prediction);
    let snapshot = unet.snapshot(Purpose::Prediction)?;
    let mut sum = 0f64;
    for (part, chosen) in indices.chunks(options.batch).enumerate() {
        let batch = Batch::from_dataset(dataset, chosen, device)?;
        let position = |i: usize| part * options.batch + i;
        let timesteps =
            (0..chosen.len()).map(|i| (2 * position(i) + 1) * schedule.len() / (2 * count)).collect();
        let mut noise = vec![0f32; batch.images.elem_count()];
        for (i, noise) in noise.chunks_mut(dataset.shape().len()).enumerate() {
            Draws::new(SEED, "held-out noise", position(i) as u64).fill_normal(noise);
        }
        let labels = unet.config().num_class_embeds.map(|_| batch.labels.clone());
        let draws = BatchDraws { timesteps, noise, labels, augment_labels: None };
        let noised = objective.noised(&batch.images, draws)?;
        sum += noised.loss(&snapshot)? * chosen.len() as f64;
    }
    Ok(sum / count as f64)
}
