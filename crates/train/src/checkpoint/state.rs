//! The tensors that training goes on from, by their names in the state's file.

use crate::error::TrainError;
use crate::trainer::Trainer;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// Before a parameter's name: the raw weights.
pub(crate) const WEIGHTS: &str = "weights";
/// The tensor of the state that holds the number of steps taken, which the hashes cover; the
/// manifest's own number is not covered by any.
pub(crate) const STEP: &str = "step";
/// What the averages are called whose length is chosen later.
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

/// What the optimisers remember, by the beginnings of its names.
pub(crate) fn moments(trainer: &Trainer) -> [(&'static str, &BTreeMap<String, Var>); 3] {
    let Trainer { adam, muon, .. } = trainer;
    [("adam_m", &adam.first), ("adam_v", &adam.second), ("muon_m", &muon.momentum)]
}
