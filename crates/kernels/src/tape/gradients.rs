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
        let Slot { values, taps_first } = self.0.get(name)?;
        Some(match *taps_first {
            Some((taps, channels, outputs)) => weights_first(values, taps, channels, outputs),
            None => values.to_vec(),
        })
    }

    /// The parameters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
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

    /// All gradients as bytes, little-endian, for [`Gradients::from_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let values = self.0.values().map(|slot| 4 * slot.values.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(values + 64 * self.0.len());
        let number = |bytes: &mut Vec<u8>, number: usize| bytes.extend((number as u64).to_le_bytes());
        for (name, slot) in &self.0 {
            number(&mut bytes, name.len());
            bytes.extend(name.as_bytes());
            let (taps, channels, outputs) = slot.taps_first.unwrap_or_default();
            [taps, channels, outputs, slot.values.len()].into_iter().for_each(|n| number(&mut bytes, n));
            let before = bytes.len();
            bytes.resize(before + 4 * slot.values.len(), 0);
            let places = bytes[before..].as_chunks_mut().0.iter_mut();
            places.zip(slot.values.iter()).for_each(|(place, value)| *place = value.to_le_bytes());
        }
        bytes
    }

    /// The gradients that [`Gradients::to_bytes`] wrote.
    ///
    /// Errors: bytes that end too early, or that are no gradients.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, String> {
        let mut gradients = BTreeMap::new();
        while !bytes.is_empty() {
            let len = number(&mut bytes)?;
            let name = std::str::from_utf8(taken(&mut bytes, len)?).map_err(|error| error.to_string())?;
            let [taps, channels, outputs, len] =
                [number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?];
            let taps_first = (taps > 0).then_some((taps, channels, outputs));
            let product = taps.checked_mul(channels).and_then(|product| product.checked_mul(outputs));
            if taps_first.is_some() && product != Some(len) {
                return Err(format!("{name} has {len} values for {taps}×{channels}×{outputs}"));
            }
            let (values, _) = taken(&mut bytes, len.checked_mul(4).ok_or("too many values")?)?.as_chunks();
            let mut slot = Buffer::scratch(len);
            slot.iter_mut().zip(values).for_each(|(slot, value)| *slot = f32::from_le_bytes(*value));
            gradients.insert(name.to_string(), Slot { values: slot, taps_first });
        }
        Ok(Self(gradients))
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

/// Takes the first bytes off.
fn taken<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    bytes.split_off(..count).ok_or_else(|| format!("they end {} bytes too early", count - bytes.len()))
}

fn number(bytes: &mut &[u8]) -> Result<usize, String> {
    let number = taken(bytes, 8)?.try_into().map_err(|_| "no number")?;
    usize::try_from(u64::from_le_bytes(number)).map_err(|error| error.to_string())
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
