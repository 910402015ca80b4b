//! Loads a checkpoint, and checks every byte before its use.

use crate::checkpoint::manifest::{Manifest, STATE_FILE};
use crate::checkpoint::state::{self, STEP, WEIGHTS};
use crate::error::TrainError;
use crate::trainer::Trainer;
use candle_core::{Device, Tensor};
use duet_model::{ModelError, WEIGHTS_FILE};
use std::collections::BTreeMap;
use std::path::Path;

/// Loads a checkpoint's state into a trainer with the same options.
///
/// First, every file is checked against the manifest.
/// Errors: a file that is missing, damaged or of another network. After an error the trainer must not be
/// used.
pub fn load(trainer: &mut Trainer, folder: &Path, device: &Device) -> Result<Manifest, TrainError> {
    let manifest = Manifest::verify(folder)?;
    let path = folder.join(STATE_FILE);
    let mut tensors = read_tensors(&path, device)?;
    let step = tensors.remove(STEP).map(|step| step.to_vec1::<i64>()).transpose()?;
    if step != Some(vec![manifest.step as i64]) {
        let reason = format!("holds step {step:?}, the manifest says {}", manifest.step);
        return Err(TrainError::checkpoint(&path, reason));
    }
    state::fill(trainer, &mut tensors).map_err(|reason| TrainError::checkpoint(&path, reason))?;
    refuse_left_over(&path, &tensors)?;
    let path = folder.join("unet").join(WEIGHTS_FILE);
    let mut averages = read_tensors(&path, device)?;
    state::fill_averages(trainer, &mut averages).map_err(|reason| TrainError::checkpoint(&path, reason))?;
    refuse_left_over(&path, &averages)?;
    trainer.steps = manifest.step;
    Ok(manifest)
}

/// The raw weights of a checkpoint, by their names in the network: those that training goes on from, not their average.
///
/// First, every file is checked against the manifest.
///
/// # Errors
/// A file that is missing or damaged; a checkpoint without its training state.
pub fn raw_weights(folder: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let path = folder.join(STATE_FILE);
    if !path.exists() {
        let reason = "it is not there, so this model has averaged weights alone, and no raw ones";
        return Err(TrainError::checkpoint(&path, reason));
    }
    Manifest::verify(folder)?;
    let tensors = read_tensors(&path, device)?;
    let named = |(key, value): (String, Tensor)| {
        let name = key.strip_prefix(WEIGHTS)?.strip_prefix('.')?;
        Some((name.to_string(), value))
    };
    Ok(tensors.into_iter().filter_map(named).collect())
}

/// Refuses leftover tensors: they belong to another network.
fn refuse_left_over(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
    match tensors.keys().next() {
        Some(name) => Err(TrainError::checkpoint(path, format!("{name} is not part of this network"))),
        None => Ok(()),
    }
}

fn read_tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, TrainError> {
    duet_model::read_tensors(path, device).map_err(|error| match error {
        ModelError::File { path, reason } => TrainError::checkpoint(path, reason),
        error => TrainError::checkpoint(path, error),
    })
}
