//! The images of a tape.

use crate::buffer::Buffer;
use std::sync::Arc;

/// Channels-last images (batch, height, width, channels) on a tape.
#[derive(Clone)]
pub struct Images {
    pub(crate) values: Arc<Buffer>,
    pub(crate) shape: [usize; 4],
    pub(crate) node: usize,
    /// Whether it depends on anything trainable.
    pub(crate) tracked: bool,
    /// Computes the values again, if this is cheaper than keeping them for the backward pass.
    pub(crate) again: Option<Arc<dyn Fn() -> Buffer + Send + Sync>>,
}

impl Images {
    /// Images (batch, height, width, channels) without a gradient. `values` are channels last.
    pub fn new(shape: [usize; 4], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of another shape");
        Self { values: Arc::new(Buffer::copy(values)), shape, node: 0, tracked: false, again: None }
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
        Self { values: Arc::new(Buffer::scratch(0)), again: None, ..self.clone() }
    }

    /// What the backward pass keeps: the values, or the way to compute them again.
    pub(crate) fn kept(&self) -> Self {
        match self.again {
            Some(_) => Self { again: self.again.clone(), ..self.hollow() },
            None => self.clone(),
        }
    }

    /// The values in the backward pass.
    pub(crate) fn recalled(&self) -> Arc<Buffer> {
        match &self.again {
            Some(again) => Arc::new(again()),
            None => self.values.clone(),
        }
    }
}
