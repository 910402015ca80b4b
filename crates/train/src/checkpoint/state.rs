//! The tensors from which training continues, by their names in the state file.

use crate::error::TrainError;
use crate::trainer::Trainer;
use candle_core::{Device, Tensor, Var};
use duet_optim::POWER_LENGTHS;
use std::collections::BTreeMap;

/// The prefix of the raw weights' names.
pub(crate) const WEIGHTS: &str = "weights";
/// The tensor with the number of steps taken. The hashes protect it; nothing protects the number in the
/// manifest.
pub(crate) const STEP: &str = "step";
/// The prefix of the averages that are drawn with, where they stand among the other tensors.
const AVERAGE: &str = "average";
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

/// Takes raw weights, moments and averages of other lengths out of the tensors of a state.
pub(crate) fn fill(trainer: &Trainer, tensors: &mut BTreeMap<String, Tensor>) -> Result<(), String> {
    for (name, var) in trainer.parameters.iter() {
        take(tensors, &format!("{WEIGHTS}.{name}"), var)?;
    }
    for (prefix, moments) in moments(trainer) {
        for (name, var) in moments {
            take(tensors, &format!("{prefix}.{name}"), var)?;
        }
    }
    for (length, powers) in POWER_LENGTHS.iter().zip(&trainer.powers) {
        for (name, var) in powers {
            take(tensors, &format!("{POWER}.{length}.{name}"), var)?;
        }
    }
    Ok(())
}

/// Takes the averages that are drawn with out of tensors.
pub(crate) fn fill_averages(trainer: &Trainer, tensors: &mut BTreeMap<String, Tensor>) -> Result<(), String> {
    trainer.ema.1.iter().try_for_each(|(name, var)| take(tensors, name, var))
}

/// Sets a variable to the tensor of this name, which is taken out.
fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, var: &Var) -> Result<(), String> {
    let value = tensors.remove(name).filter(|value| value.shape() == var.shape());
    let value = value.ok_or_else(|| format!("{name} is missing or misshapen"))?;
    var.set(&value).map_err(|error| error.to_string())
}

impl Trainer {
    /// All that training goes on from, in memory: another trainer of the same network and options takes it over with
    /// [`Trainer::set_state`].
    ///
    /// # Errors
    /// Those of candle.
    pub fn state(&self) -> Result<Vec<u8>, TrainError> {
        let mut state = tensors(self)?;
        let averages = self.ema.1.iter();
        state.extend(averages.map(|(name, var)| (format!("{AVERAGE}.{name}"), var.as_tensor().clone())));
        Ok(duet_model::weights_to_bytes(&state)?)
    }

    /// Takes over the state of another trainer of the same network and options.
    ///
    /// # Errors
    /// Bytes that are no state, or that of another network. After an error the trainer must not be used.
    pub fn set_state(&mut self, state: &[u8]) -> Result<(), TrainError> {
        let other = |reason| TrainError::Option(format!("the state of a trainer: {reason}"));
        let mut tensors = duet_model::tensors_from_bytes(state, &Device::Cpu)?;
        let step = tensors.remove(STEP).ok_or_else(|| other(format!("{STEP} is missing")))?;
        let step = step.to_vec1::<i64>()?.first().and_then(|&step| u64::try_from(step).ok());
        let prefix = format!("{AVERAGE}.");
        let (averages, mut rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            tensors.into_iter().partition(|(name, _)| name.starts_with(&prefix));
        let averages = averages.into_iter().map(|(name, value)| (name[prefix.len()..].to_string(), value));
        let mut averages = averages.collect();
        fill(self, &mut rest).and_then(|()| fill_averages(self, &mut averages)).map_err(other)?;
        if let Some(name) = rest.keys().chain(averages.keys()).next() {
            return Err(other(format!("{name} is not part of this network")));
        }
        self.steps = step.ok_or_else(|| other("no number of steps".into()))?;
        Ok(())
    }
}

/// The moments of the optimisers, with the prefixes of their names.
pub(crate) fn moments(trainer: &Trainer) -> [(&'static str, &BTreeMap<String, Var>); 3] {
    let Trainer { adam, muon, .. } = trainer;
    [("adam_m", &adam.first), ("adam_v", &adam.second), ("muon_m", &muon.momentum)]
}
