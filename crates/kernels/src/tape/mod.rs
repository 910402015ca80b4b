//! Reverse-mode differentiation for one chunk of images on one thread.
//!
//! A [`Tape`] runs operations on channels-last images at once and notes how to go back;
//! [`Tape::backward`] does, giving memory free as it goes. Everything happens on the calling
//! thread: a program differentiates several chunks of a batch side by side, each with a tape of
//! its own over shared weights ([`crate::ConvWeights`], [`crate::NormWeights`]), and adds the [`Gradients`] in the
//! order of the chunks. Compared with a graph of candle tensors, gradients are added in place,
//! nothing is copied to be transposed, and a batch's activations never exist all at once.

mod gradients;
mod images;

pub use gradients::Gradients;
pub(crate) use gradients::{Pending, Step};
pub use images::Images;

use crate::buffer::Buffer;
use crate::elementwise::passes;
use std::sync::Arc;

/// Operations on one chunk of images, and the way back through them.
pub struct Tape {
    pub(crate) records: bool,
    steps: Vec<Option<Step>>,
    pub(crate) multiply_adds: u64,
}

impl Tape {
    /// A tape that remembers the way back.
    pub fn recording() -> Self {
        Self { records: true, steps: Vec::new(), multiply_adds: 0 }
    }

    /// A tape that only runs forward and keeps nothing.
    pub fn forward_only() -> Self {
        Self { records: false, steps: Vec::new(), multiply_adds: 0 }
    }

    /// Multiply-adds of all convolutions, linear layers and attentions so far; a convolution counts
    /// as the direct sum, however it was computed.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Images whose gradient is asked for: it will be among the parameters', under `name`.
    pub fn variable(&mut self, name: &str, x: &Images) -> Images {
        let (name, node) = (name.to_string(), self.steps.len());
        if self.records {
            let step = move |grad: Buffer, pending: &mut Pending| {
                passes::add(pending.parameters.slot(name, grad.len()), &grad);
            };
            self.steps.push(Some(Box::new(step)));
        }
        Images { node, tracked: self.records, ..x.clone() }
    }

    pub(crate) fn push(
        &mut self,
        shape: [usize; 4],
        values: impl Into<Arc<Buffer>>,
        tracked: bool,
        step: Option<Step>,
    ) -> Images {
        let values = values.into();
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let node = self.steps.len();
        if self.records {
            self.steps.push(step);
        }
        Images { values, shape, node, tracked: tracked && self.records, again: None }
    }

    /// The gradients of all parameters, of ⟨`grad`, `of`⟩: `grad` is as large as `of`.
    pub fn backward(mut self, of: &Images, grad: &[f32]) -> Gradients {
        assert!(self.records, "the tape only runs forward");
        assert_eq!(grad.len(), of.values.len(), "a gradient of another shape");
        let nodes = std::iter::repeat_with(|| None).take(self.steps.len()).collect();
        let mut pending = Pending { nodes, parameters: Gradients::default() };
        pending.nodes[of.node] = Some(Buffer::copy(grad));
        while let Some(step) = self.steps.pop() {
            let grad = pending.nodes.pop().flatten();
            if let (Some(step), Some(grad)) = (step, grad) {
                step(grad, &mut pending);
            }
        }
        pending.parameters
    }
}
