//! Gradients of some of a step's images.

use crate::error::ModelError;
use crate::parameters::Parameters;
use candle_core::{Device, Tensor, Var};
use duet_kernels::tape::Gradients;
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

    /// Adds those of the images that follow.
    pub(crate) fn add(&mut self, next: Self) {
        self.value += next.value;
        self.gradients.add(next.gradients);
    }

    /// The value, and the gradients of the trainable parameters one behind the other, for [`gradients_of`].
    ///
    /// Errors: a parameter without a gradient.
    pub fn into_values(self, parameters: &Parameters) -> Result<(f64, Vec<f32>), ModelError> {
        let mut values = Vec::with_capacity(parameters.trainable().map(|(_, var)| var.elem_count()).sum());
        for (name, _) in parameters.trainable() {
            values.extend(self.gradients.get(name).ok_or_else(|| without_gradient(name))?);
        }
        Ok((self.value, values))
    }
}

/// The gradients by name of values that [`PartialGradients::into_values`] gives, or of their sum.
///
/// Errors: another number of values than the trainable parameters have.
pub fn gradients_of(parameters: &Parameters, values: &[f32]) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut left = values;
    let mut next = |(name, var): (&str, &Var)| {
        let found = left.split_off(..var.elem_count());
        let found =
            found.ok_or_else(|| ModelError::Input(format!("{} values end in {name}", values.len())))?;
        Ok((name.to_string(), Tensor::from_slice(found, var.shape(), &Device::Cpu)?))
    };
    let gradients = parameters.trainable().map(&mut next).collect::<Result<_, ModelError>>()?;
    match left.is_empty() {
        true => Ok(gradients),
        false => Err(ModelError::Input(format!("{} values too many", left.len()))),
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
        None => Err(without_gradient(name)),
    };
    parameters.into_par_iter().map(named).collect()
}

fn without_gradient(name: &str) -> ModelError {
    ModelError::Input(format!("{name} takes no part in the prediction: it has no gradient"))
}
