//! Gradients of parameters.

use crate::buffer::Buffer;
use crate::chunks::weights_first;
use crate::elementwise::passes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Gradients of parameters by name.
#[derive(Default)]
pub struct Gradients(BTreeMap<String, Slot>);

struct Slot {
    values: Buffer,
    /// (kh·kw, C, O) for a convolution's weights: their gradient is stored in this order.
    taps_first: Option<(usize, usize, usize)>,
}

impl Gradients {
    /// The gradient of one parameter, in the order of the parameter's values; none if it has no gradient.
    pub fn get(&self, name: &str) -> Option<Vec<f32>> {
        let mut values = vec![0.0; self.0.get(name)?.values.len()];
        self.write(name, &mut values).then_some(values)
    }

    /// Writes the gradient of one parameter to as many values, in the order of the parameter's; whether it has one.
    ///
    /// # Panics
    /// On another number of values.
    pub fn write(&self, name: &str, to: &mut [f32]) -> bool {
        let Some(Slot { values, taps_first }) = self.0.get(name) else { return false };
        match *taps_first {
            Some((taps, channels, outputs)) => weights_first(values, taps, channels, outputs, to),
            None => to.copy_from_slice(values),
        }
        true
    }

    /// The parameters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Takes out the gradients of some parameters.
    pub fn take(&mut self, takes: impl Fn(&str) -> bool) -> Self {
        Self(self.0.extract_if(.., |name, _| takes(name)).collect())
    }

    /// All gradients except the one of this name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Adds the gradients of another chunk.
    pub fn add(&mut self, other: Gradients) {
        for (name, slot) in other.0 {
            match self.0.get_mut(&name) {
                Some(sum) => passes::add(&mut sum.values, &slot.values),
                None => drop(self.0.insert(name, slot)),
            }
        }
    }

    pub(crate) fn slot(&mut self, name: String, len: usize) -> &mut Buffer {
        let new = || Slot { values: Buffer::zeros(len), taps_first: None };
        &mut self.0.entry(name).or_insert_with(new).values
    }

    /// The gradient of a convolution's weights, (taps, C, O).
    pub(crate) fn taps_first(
        &mut self,
        name: String,
        (taps, channels, outputs): (usize, usize, usize),
    ) -> WeightGradient<'_> {
        let new = || Slot {
            values: Buffer::scratch(taps * channels * outputs),
            taps_first: Some((taps, channels, outputs)),
        };
        match self.0.entry(name) {
            Entry::Vacant(place) => WeightGradient { values: &mut place.insert(new()).values, is_new: true },
            Entry::Occupied(slot) => WeightGradient { values: &mut slot.into_mut().values, is_new: false },
        }
    }
}

/// The gradient of a convolution's weights: a sum, unless it is new. Then it has no values yet.
pub(crate) struct WeightGradient<'a> {
    pub values: &'a mut [f32],
    pub is_new: bool,
}

impl<'a> WeightGradient<'a> {
    /// Values to add to: zeros, if it is new.
    pub fn sum(self) -> &'a mut [f32] {
        if self.is_new {
            self.values.fill(0.0);
        }
        self.values
    }
}
