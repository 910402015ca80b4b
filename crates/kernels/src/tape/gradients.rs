//! Gradients of parameters, and gradients of nodes during the backward pass.

use crate::buffer::Buffer;
use crate::chunks::weights_first;
use crate::elementwise::passes;
use crate::tape::images::Images;
use std::collections::BTreeMap;

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

    pub(crate) fn taps_first(
        &mut self,
        name: String,
        (taps, channels, outputs): (usize, usize, usize),
    ) -> &mut Buffer {
        let values = || Buffer::zeros(taps * channels * outputs);
        let new = || Slot { values: values(), taps_first: Some((taps, channels, outputs)) };
        &mut self.0.entry(name).or_insert_with(new).values
    }
}

/// The gradients of nodes during the backward pass.
pub(crate) struct Pending {
    pub(crate) nodes: Vec<Option<Buffer>>,
    pub(crate) parameters: Gradients,
}

impl Pending {
    /// Takes a node's gradient out, so that the caller can add to it and give it back.
    pub(crate) fn take(&mut self, x: &Images) -> Option<Buffer> {
        if x.tracked { self.nodes[x.node].take() } else { None }
    }

    /// The gradient of a node, to which the caller adds.
    pub(crate) fn of(&mut self, x: &Images) -> &mut Buffer {
        self.nodes[x.node].get_or_insert_with(|| Buffer::zeros(x.len()))
    }

    /// Adds `grad` to the gradient of a node. The first one is moved and not copied. It is dropped if
    /// nothing needs it.
    pub(crate) fn give(&mut self, x: &Images, grad: Buffer) {
        if !x.tracked {
            return;
        }
        match &mut self.nodes[x.node] {
            Some(sum) => passes::add(sum, &grad),
            none => *none = Some(grad),
        }
    }
}

/// One step of the backward pass: from the gradient of a node to the gradients of its inputs.
pub(crate) type Step = Box<dyn FnOnce(Buffer, &mut Pending)>;
