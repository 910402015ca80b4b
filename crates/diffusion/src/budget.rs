//! What a run takes: steps for a time, memory and disk.

use crate::config::RunConfig;
use crate::error::{Error, Result, option, setting};
use crate::job::lead::{self, Job};
use crate::words::megabytes;
use candle_core::Var;
use duet_data::Splits;
use duet_model::{Memory, UNetConfig};
use duet_optim::POWER_LENGTHS;
use duet_train::{DataOrder, Optimizer, TrainOptions, Trainer};
use std::path::Path;
use std::time::{Duration, Instant};

/// Images of one optimiser step.
pub fn images_per_step(config: &RunConfig) -> usize {
    config.train.batch * config.train.accumulate
}

/// A number of steps from what an option asks for.
pub(crate) fn length(name: &'static str, asked: f64, steps: f64) -> Result<u64> {
    if !(asked.is_finite() && asked > 0.0) {
        return Err(option(name, format!(" {asked}: must be a positive number")));
    }
    Ok(steps.round().max(1.0) as u64)
}

/// Takes a few steps: the mean time of one, but for the first, of which there are two or as many as fit
/// into `timed`.
pub(crate) fn time_steps(
    trainer: &mut Trainer,
    data: &Splits,
    job: Option<&Job>,
    timed: Duration,
) -> Result<Duration> {
    let mut order = DataOrder::new(0, data.train.len() as u32);
    lead::step(job, trainer, data, &mut order)?;
    let started = Instant::now();
    let mut others = 0;
    while others < 2 || started.elapsed() < timed {
        lead::step(job, trainer, data, &mut order)?;
        others += 1;
    }
    Ok(started.elapsed() / others)
}

/// The averages whose length is chosen later that a trainer has beside the one that it draws with.
fn kept_averages(options: &TrainOptions) -> u64 {
    if options.ema_snapshots > 0 { POWER_LENGTHS.len() as u64 } else { 0 }
}

/// Bytes of one checkpoint: the averaged weights, the raw ones, two moments (one where Muon moves them)
/// and any averages whose length is chosen later, in f32.
pub(crate) fn checkpoint_bytes(trainer: &Trainer) -> u64 {
    let options = trainer.options();
    let kept = kept_averages(options);
    let of = |(name, var): (&str, &Var)| {
        let moments = if options.optimizer.is_of_muon(name, var.rank()) { 1 } else { 2 };
        4 * (2 + moments + kept) * var.elem_count() as u64
    };
    trainer.parameters().iter().map(of).sum()
}

/// Bytes of all snapshots of averages.
pub(crate) fn snapshot_bytes(trainer: &Trainer) -> u64 {
    let options = trainer.options();
    let each = trainer.parameters().count() as u64 * 4 * POWER_LENGTHS.len() as u64;
    options.snapshots().saturating_mul(each)
}

/// The memory that a training takes at most besides what the process has already, in bytes. It is counted before anything
/// is allocated.
///
/// # Errors
/// Where the network cannot be.
pub(crate) fn training_memory(
    config: &RunConfig,
    unet: &UNetConfig,
    data: &Splits,
    (batch, threads, memory): (usize, usize, Memory),
) -> Result<u64> {
    let shape = data.train.shape();
    let moments = match config.train.optimizer {
        Optimizer::AdamW => 2,
        Optimizer::Muon => 1,
    };
    let network = unet.footprint(shape.height, shape.width)?.peak(
        2 + moments + kept_averages(&config.train),
        batch,
        threads,
        memory,
    );
    let pixels = (shape.channels * shape.height * shape.width) as u64;
    // Images, noise, x_t, target, prediction and its gradient, in f32.
    let images = pixels.saturating_mul(6 * 4).saturating_mul(batch as u64);
    Ok(network.saturating_add(images))
}

/// Refuses a training that would not fit into memory, and says what would.
pub(crate) fn check_memory(
    config: &RunConfig,
    unet: &UNetConfig,
    data: &Splits,
    memory: Memory,
) -> Result<()> {
    let (batch, threads) = (config.train.batch, rayon::current_num_threads());
    let available = duet_model::available_memory();
    let takes = |batch, threads, memory| training_memory(config, unet, data, (batch, threads, memory));
    let needed = takes(batch, threads, memory)?;
    if needed <= available {
        return Ok(());
    }
    let fits = |batch, threads, memory| Ok::<_, Error>(takes(batch, threads, memory)? <= available);
    let mut ways = Vec::new();
    if memory == Memory::Normal && fits(batch, threads, Memory::Low)? {
        ways.push("--memory low, which takes longer".to_string());
    }
    let halves =
        std::iter::successors(Some(batch / 2), |batch| Some(batch / 2)).take_while(|&batch| batch > 0);
    for smaller in halves {
        if fits(smaller, threads, memory)? {
            ways.push(format!("--batch {smaller} with --set train.accumulate={}", batch.div_ceil(smaller)));
            break;
        }
    }
    if threads > 1 && fits(batch, 1, memory)? {
        ways.push("--threads 1".into());
    }
    if ways.is_empty() {
        ways.push("smaller images (--image-size), or a smaller network".into());
    }
    Err(setting(format!(
        "training on batches of {batch} takes about {}, and {} are available; what fits: {}",
        megabytes(needed),
        megabytes(available),
        ways.join("; or ")
    )))
}

/// Free bytes on the disk of `path`, or of the nearest folder above it that exists; none where the system
/// does not tell.
#[cfg(not(target_arch = "wasm32"))]
pub fn free_disk(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|path| path.exists())?;
    fs4::available_space(existing).ok()
}

/// A browser has no disks.
#[cfg(target_arch = "wasm32")]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}
