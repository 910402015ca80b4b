//! The tensors from which training continues, by their names in the state file.

use crate::error::TrainError;
use crate::trainer::Trainer;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// The prefix of the raw weights' names.
pub(crate) const WEIGHTS: &str = "weights";
/// The tensor with the number of steps taken. The hashes protect it; nothing protects the number in the
/// manifest.
pub(crate) const STEP: &str = "step";
/// The prefix of the averages whose length is chosen later.
pub(crate) const POWER: &str = "power";

/// Raw weights, moments, averages and the number of steps.
pub(crate) fn tensors(trainer: &Trainer) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let mut state = BTreeMap::new();
    for (name, var) in trainer.parameters.iter() {
        for (prefix, moments) in moments(trainer) {
            if let Some(moment) = moments.get(name) {
                state.insert(format!("{prefix}.{name}"), moment.as_tensor().clone());
            }
        }
        state.insert(format!("{WEIGHTS}.{name}"), var.as_tensor().clone());
    }
    state.extend(
        trainer.power_averages().into_iter().map(|(name, values)| (format!("{POWER}.{name}"), values)),
    );
    state.insert(STEP.into(), Tensor::new(&[trainer.steps() as i64], &Device::Cpu)?);
    Ok(state)
}

/// The moments of the optimisers, with the prefixes of their names.
pub(crate) fn moments(trainer: &Trainer) -> [(&'static str, &BTreeMap<String, Var>); 3] {
    let Trainer { adam, muon, .. } = trainer;
    [("adam_m", &adam.first), ("adam_v", &adam.second), ("muon_m", &muon.momentum)]
}
