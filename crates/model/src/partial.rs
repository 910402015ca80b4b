//! Gradients of some of a step's images.

use crate::error::ModelError;
use crate::parameters::Parameters;
use candle_core::{Device, Tensor, Var};
use duet_kernels::tape::Gradients;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

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
        let parameters: Vec<(&str, &Var)> = parameters.trainable().collect();
        let mut values = vec![0.0; parameters.iter().map(|(_, var)| var.elem_count()).sum()];
        let (mut left, mut places) = (&mut values[..], Vec::new());
        for &(name, var) in &parameters {
            let (place, others) = left.split_at_mut(var.elem_count());
            places.push((name, place));
            left = others;
        }
        places.into_par_iter().try_for_each(|(name, place)| match self.gradients.write(name, place) {
            true => Ok(()),
            false => Err(without_gradient(name)),
        })?;
        Ok((self.value, values))
    }
}

/// The gradients by name of values that [`PartialGradients::into_values`] gives, or of their sum; `values` gives those of
/// a range.
///
/// Errors: those of candle, where `values` gives another number.
pub fn gradients_of(
    parameters: &Parameters,
    values: impl Fn(Range<usize>) -> Vec<f32> + Sync,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut first = 0;
    let places = parameters.trainable().map(|(name, var)| {
        let range = first..first + var.elem_count();
        first = range.end;
        (name, var, range)
    });
    let places: Vec<_> = places.collect();
    let gradient = |(name, var, range): (&str, &Var, Range<usize>)| {
        Ok((name.to_string(), Tensor::from_vec(values(range), var.shape(), &Device::Cpu)?))
    };
    places.into_par_iter().map(gradient).collect()
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
