//! The images of a tape.

use crate::buffer::Buffer;
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
}

/// The values of images, or the way to compute them.
pub(crate) struct Values {
    known: OnceLock<Buffer>,
    deferred: Option<(Arc<dyn Deferred>, usize)>,
}

impl From<Buffer> for Values {
    fn from(values: Buffer) -> Self {
        Self { known: OnceLock::from(values), deferred: None }
    }
}

impl Values {
    /// The values of so many images, which are computed when they are needed.
    pub fn deferred(way: impl Deferred + 'static, images: usize) -> Self {
        Self { known: OnceLock::new(), deferred: Some((Arc::new(way), images)) }
    }

    /// The way to compute them, if they are not known.
    pub fn unknown(&self) -> Option<&dyn Deferred> {
        match (&self.deferred, self.known.get()) {
            (Some((way, _)), None) => Some(&**way),
            _ => None,
        }
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.known.get_or_init(|| match &self.deferred {
            Some((way, images)) => way.part(0..*images),
            None => Buffer::scratch(0),
        })
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
        match &self.values.deferred {
            Some(way) => {
                let values = Values { known: OnceLock::new(), deferred: Some(way.clone()) };
                Self { values: Arc::new(values), ..self.clone() }
            }
            None => self.clone(),
        }
    }
}
