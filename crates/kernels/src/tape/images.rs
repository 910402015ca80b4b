//! The images of a tape, and their gradients.

use crate::buffer::Buffer;
use crate::elementwise::passes;
use crate::tape::gradients::Gradients;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

/// Channels-last images (batch, height, width, channels) on a tape.
#[derive(Clone)]
pub struct Images {
    pub(crate) values: Arc<Values>,
    pub(crate) shape: [usize; 4],
    pub(crate) node: usize,
    /// Whether it depends on anything trainable.
    pub(crate) tracked: bool,
}

/// Computes images that are not kept: each time that they are needed, and as many as are needed.
pub(crate) trait Deferred: Send + Sync {
    fn part(&self, images: Range<usize>) -> Buffer;
    /// Begins the way back through the computation, for a gradient that comes in parts too.
    fn way_back<'a>(&'a self, pending: &mut Pending) -> Box<dyn WayBack + 'a>;
}

/// The way back through the computation of images. It adds to the gradients of what they are computed from.
pub(crate) trait WayBack {
    /// Takes the gradient of some images; of all, in their order.
    fn part(&mut self, images: Range<usize>, grad: &[f32]);
    /// Hands over what was found.
    fn finish(self: Box<Self>, pending: &mut Pending);
}

/// The values of images, or the way to compute them.
pub(crate) enum Values {
    Known(Buffer),
    /// Those of so many images, once all of them were needed.
    Deferred {
        way: Arc<dyn Deferred>,
        images: usize,
        known: OnceLock<Buffer>,
    },
}

impl From<Buffer> for Values {
    fn from(values: Buffer) -> Self {
        Self::Known(values)
    }
}

impl Values {
    /// The values of so many images, which are computed when they are needed.
    pub fn deferred(way: Arc<dyn Deferred>, images: usize) -> Self {
        Self::Deferred { way, images, known: OnceLock::new() }
    }

    /// The way to compute them, if they are not known.
    pub fn unknown(&self) -> Option<&dyn Deferred> {
        match self {
            Self::Deferred { way, known, .. } if known.get().is_none() => Some(&**way),
            _ => None,
        }
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Known(values) => values,
            Self::Deferred { way, images, known } => known.get_or_init(|| way.part(0..*images)),
        }
    }
}

impl Images {
    /// Images (batch, height, width, channels) without a gradient. `values` are channels last.
    pub fn new(shape: [usize; 4], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of another shape");
        Self { values: Arc::new(Buffer::copy(values).into()), shape, node: 0, tracked: false }
    }

    /// (batch, height, width, channels).
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, channels last.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Only the place on the tape, for a backward pass that needs no values.
    pub(crate) fn hollow(&self) -> Self {
        Self { values: Arc::new(Buffer::scratch(0).into()), ..self.clone() }
    }

    /// What the backward pass keeps: the values, or only the way to compute them again.
    pub(crate) fn kept(&self) -> Self {
        match &*self.values {
            Values::Deferred { way, images, .. } => {
                Self { values: Arc::new(Values::deferred(way.clone(), *images)), ..self.clone() }
            }
            Values::Known(_) => self.clone(),
        }
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
