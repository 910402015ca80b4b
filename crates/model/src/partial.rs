//! Gradients of some of a step's images.

use crate::error::ModelError;
use crate::parameters::Parameters;
use candle_core::{Device, Tensor, Var};
use duet_kernels::tape::Gradients;
use duet_ranks::Term;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The value of an objective and the gradients of all trainable parameters by name.
pub type ValueAndGradients = (f64, BTreeMap<String, Tensor>);

/// The value of an objective for some images, and its gradients: a term of a step's sum, or the sum of several.
#[derive(Default)]
pub struct PartialGradients {
    pub(crate) value: f64,
    pub(crate) gradients: Gradients,
}

impl PartialGradients {
    /// Those of the trainable ones of the network's parameters, by name.
    ///
    /// Errors: a parameter without a gradient.
    pub fn by_name(self, parameters: &Parameters) -> Result<ValueAndGradients, ModelError> {
        let tensor = |name: &str, var: &Var| {
            let values = self.gradients.get(name);
            values.map(|values| Tensor::from_vec(values, var.shape(), &Device::Cpu)).transpose()
        };
        Ok((self.value, by_name(parameters, tensor)?))
    }
}

impl Term for PartialGradients {
    fn add(&mut self, next: Self) {
        self.value += next.value;
        self.gradients.add(next.gradients);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.value.to_le_bytes().to_vec();
        bytes.extend(self.gradients.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (value, gradients) = bytes.split_first_chunk().ok_or("no value")?;
        Ok(Self { value: f64::from_le_bytes(*value), gradients: Gradients::from_bytes(gradients)? })
    }
}

/// The gradient of each parameter. A parameter without one is an error that names it.
pub(crate) fn by_name(
    parameters: &Parameters,
    gradient: impl Fn(&str, &Var) -> candle_core::Result<Option<Tensor>> + Sync,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let parameters: Vec<(&str, &Var)> = parameters.trainable().collect();
    let named = |(name, var): (&str, &Var)| match gradient(name, var)? {
        Some(gradient) => Ok((name.to_string(), gradient)),
        None => Err(ModelError::Input(format!("{name} takes no part in the prediction: it has no gradient"))),
    };
    parameters.into_par_iter().map(named).collect()
}
