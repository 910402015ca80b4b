//! Reverse-mode differentiation for one chunk of images on one thread.
//!
//! A [`Tape`] runs each operation on channels-last images at once, and records how to compute its
//! gradients. [`Tape::backward`] computes them and frees memory on the way. Everything runs on the calling
//! thread. A program can differentiate several chunks of a batch in parallel: each chunk has a tape of its
//! own, all share the weights ([`crate::ConvWeights`], [`crate::NormWeights`]), and the program adds the
//! [`Gradients`] in the order of the chunks. Compared with a graph of candle tensors, gradients are added
//! in place, nothing is copied for a transposition, and the activations of the whole batch never exist at
//! the same time.

mod gradients;
mod images;

pub use gradients::Gradients;
pub(crate) use gradients::WeightGradient;
pub use images::Images;
pub(crate) use images::{Deferred, Pending, Step, Values, WayBack};

use crate::buffer::Buffer;
use crate::elementwise::passes;
use crate::profile;
use std::sync::Arc;

/// Operations on one chunk of images, and their backward pass.
pub struct Tape {
    pub(crate) records: bool,
    steps: Vec<Option<Step>>,
    /// The numbers of steps before each mark.
    marks: Vec<usize>,
    pub(crate) multiply_adds: u64,
}

impl Tape {
    /// A tape that records the backward pass.
    pub fn recording() -> Self {
        Self { records: true, steps: Vec::new(), marks: Vec::new(), multiply_adds: 0 }
    }

    /// A tape that only runs forward and records nothing.
    pub fn forward_only() -> Self {
        Self { records: false, steps: Vec::new(), marks: Vec::new(), multiply_adds: 0 }
    }

    /// The number of multiply-adds of all convolutions, linear layers and attentions so far. A convolution
    /// counts as the direct sum, for every algorithm.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Marks a place between two operations, for [`Tape::backward_onto`].
    pub fn mark(&mut self) {
        self.marks.push(self.steps.len());
    }

    /// Images whose gradient is wanted. [`Tape::backward`] returns it under `name`.
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
        values: impl Into<Values>,
        tracked: bool,
        step: Option<Step>,
    ) -> Images {
        self.push_shared(shape, Arc::new(values.into()), tracked, step)
    }

    /// The same with values that the step needs too.
    pub(crate) fn push_shared(
        &mut self,
        shape: [usize; 4],
        values: Arc<Values>,
        tracked: bool,
        step: Option<Step>,
    ) -> Images {
        assert!(values.unknown().is_some() || values.len() == shape.iter().product::<usize>());
        let node = self.steps.len();
        if self.records {
            self.steps.push(step);
        }
        Images { values, shape, node, tracked: tracked && self.records }
    }

    /// The gradients of ⟨`grad`, `of`⟩ with respect to all parameters. `grad` has as many values as `of`.
    pub fn backward(self, of: &Images, grad: &[f32]) -> Gradients {
        self.backward_onto(of, grad, Gradients::default(), |_, _| {})
    }

    /// The same, added to gradients of other images. At each mark, from the last to the first, `at_mark` gets its number and the
    /// gradients so far: those of parameters that are used only after the mark are complete. It may take them out.
    pub fn backward_onto(
        mut self,
        of: &Images,
        grad: &[f32],
        parameters: Gradients,
        mut at_mark: impl FnMut(usize, &mut Gradients),
    ) -> Gradients {
        assert!(self.records, "the tape only runs forward");
        assert_eq!(grad.len(), of.len(), "a gradient of another shape");
        let nodes = std::iter::repeat_with(|| None).take(self.steps.len()).collect();
        let mut pending = Pending { nodes, parameters };
        pending.nodes[of.node] = Some(Buffer::copy(grad));
        loop {
            while self.marks.last() == Some(&self.steps.len()) {
                self.marks.pop();
                at_mark(self.marks.len(), &mut pending.parameters);
            }
            let Some(step) = self.steps.pop() else { break };
            let grad = pending.nodes.pop().flatten();
            if let (Some(step), Some(grad)) = (step, grad) {
                let _span = profile::operation("other operations", true);
                step(grad, &mut pending);
            }
        }
        pending.parameters
    }
}
