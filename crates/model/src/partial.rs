//! Gradients of some of a step's images.

use crate::error::ModelError;
use crate::parameters::{Group, Parameters};
use crate::unet::UNet;
use candle_core::{Device, Tensor, Var};
use duet_kernels::tape::Gradients;
use duet_ranks::TreeSum;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The value of an objective and the gradients of all trainable parameters by name.
pub type ValueAndGradients = (f64, BTreeMap<String, Tensor>);

impl UNet {
    /// The trainable ones of the network's parameters in groups, in the order in which the way back through the network
    /// ends with them: those of each block on the way up, the last one with the output's, and then all others.
    pub fn groups<'a>(&self, parameters: &'a Parameters) -> Vec<Group<'a>> {
        let mut groups = vec![Vec::new(); self.blocks_up() + 1];
        for (name, var) in parameters.trainable() {
            groups[self.group_of(name)].push((name, var));
        }
        groups
    }

    /// Which group a parameter is in.
    pub(crate) fn group_of(&self, name: &str) -> usize {
        let blocks = self.blocks_up();
        let block: Option<usize> =
            name.strip_prefix("up_blocks.").and_then(|rest| rest.split_once('.')?.0.parse().ok());
        match block {
            Some(block) if block < blocks => blocks - 1 - block,
            _ if name.starts_with("conv_norm_out.") || name.starts_with("conv_out.") => 0,
            _ => blocks,
        }
    }
}

/// The value of an objective for some images, and its gradients: a term of a step's sum, or the sum of several. Where it is
/// of one [group](UNet::groups) alone, the value comes with the last group, and is 0 in the others.
#[derive(Default)]
pub struct PartialGradients {
    pub(crate) value: f64,
    pub(crate) gradients: Gradients,
}

impl PartialGradients {
    /// The value, and the gradients of these parameters by name.
    ///
    /// Errors: a parameter without a gradient.
    pub fn by_name(self, parameters: &[(&str, &Var)]) -> Result<ValueAndGradients, ModelError> {
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

    /// The value, and the gradients of these parameters one behind the other, for [`gradients_of`].
    ///
    /// Errors: a parameter without a gradient.
    pub fn into_values(self, parameters: &[(&str, &Var)]) -> Result<(f64, Vec<f32>), ModelError> {
        let mut values = vec![0.0; parameters.iter().map(|(_, var)| var.elem_count()).sum()];
        let (mut left, mut places) = (&mut values[..], Vec::new());
        for &(name, var) in parameters {
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

/// Takes the number of a group, and a part of its sum or the whole.
pub type Ready<'a> = dyn Fn(usize, TreeSum<PartialGradients>) -> Result<(), ModelError> + Sync + 'a;

/// The value and the gradients of all groups, whose whole sums `work` gives to the function that it gets.
///
/// Errors: those of `work`; a parameter without a gradient.
pub fn whole_gradients<E>(
    groups: &[Group],
    work: impl FnOnce(&Ready) -> Result<(), E>,
) -> Result<ValueAndGradients, E> {
    let found = Mutex::new(ValueAndGradients::default());
    work(&|group, sum| {
        let (value, gradients) = sum.total().unwrap_or_default().by_name(&groups[group])?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0 += value;
        found.1.extend(gradients);
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The gradients by name of values that [`PartialGradients::into_values`] gives, or of their sum; `values` gives those of
/// a range.
///
/// Errors: those of candle, where `values` gives another number.
pub fn gradients_of(
    parameters: &[(&str, &Var)],
    values: impl Fn(Range<usize>) -> Vec<f32> + Sync,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut first = 0;
    let places = parameters.iter().map(|&(name, var)| {
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
    parameters: &[(&str, &Var)],
    gradient: impl Fn(&str, &Var) -> candle_core::Result<Option<Tensor>> + Sync,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let named = |&(name, var): &(&str, &Var)| match gradient(name, var)? {
        Some(gradient) => Ok((name.to_string(), gradient)),
        None => Err(without_gradient(name)),
    };
    parameters.par_iter().map(named).collect()
}

fn without_gradient(name: &str) -> ModelError {
    ModelError::Input(format!("{name} takes no part in the prediction: it has no gradient"))
}
