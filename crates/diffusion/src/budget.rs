//! What a run takes: steps for a time, memory and disk.

use crate::config::RunConfig;
use crate::error::{Result, option, setting};
use crate::words::megabytes;
use candle_core::Var;
use duet_data::Splits;
use duet_optim::POWER_LENGTHS;
use duet_train::{DataOrder, Trainer};
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
pub(crate) fn time_steps(trainer: &mut Trainer, data: &Splits, timed: Duration) -> Result<Duration> {
    let mut order = DataOrder::new(0, data.train.len() as u32);
    trainer.step_on(&data.train, &mut order)?;
    let started = Instant::now();
    let mut others = 0;
    while others < 2 || started.elapsed() < timed {
        trainer.step_on(&data.train, &mut order)?;
        others += 1;
    }
    Ok(started.elapsed() / others)
}

/// Bytes of one checkpoint: the averaged weights, the raw ones, two moments (one where Muon moves them)
/// and any averages whose length is chosen later, in f32.
pub(crate) fn checkpoint_bytes(trainer: &Trainer) -> u64 {
    let options = trainer.options();
    let kept = if options.ema_snapshots > 0 { POWER_LENGTHS.len() as u64 } else { 0 };
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

/// Refuses a batch whose images alone would not fit into memory.
pub(crate) fn check_memory(config: &RunConfig, data: &Splits) -> Result<()> {
    let shape = data.train.shape();
    let pixels = (shape.channels * shape.height * shape.width) as u64;
    // Images, noise, x_t, target, prediction and its gradient, in f32.
    let needed = 6 * 4 * pixels * config.train.batch as u64;
    match duet_model::available_memory() {
        available if available < needed => Err(setting(format!(
            "batch = {}: its images take {}, {} are available; use a smaller batch and accumulate",
            config.train.batch,
            megabytes(needed),
            megabytes(available)
        ))),
        _ => Ok(()),
    }
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
