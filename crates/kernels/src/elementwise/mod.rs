//! Operations on single values and on channels, on the tape.

pub(crate) mod activation;
pub(crate) mod passes;

use crate::buffer::Buffer;
use crate::elementwise::activation::Activation;
use crate::profile;
use crate::tape::{Images, Pending, Step, Tape};

impl Tape {
    /// Applies an activation to every value.
    pub fn activation(&mut self, x: &Images, activation: Activation) -> Images {
        let _span = profile::operation("other operations", false);
        let mut y = Buffer::scratch(x.len());
        passes::activate(activation, &x.values, &mut y);
        let step = x.tracked.then(|| {
            let x = x.clone();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let mut through = Buffer::scratch(grad.len());
                passes::activation_gradient(activation, &x.values, &grad, &mut through);
                pending.give(&x, through);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, x.tracked, step)
    }

    /// Multiplies each image by its factor; `factors` (B).
    pub fn scale_images(&mut self, x: &Images, factors: &[f32]) -> Images {
        let _span = profile::operation("other operations", false);
        assert_eq!(factors.len(), x.shape[0], "one factor for each image");
        let image = (x.len() / factors.len().max(1)).max(1);
        let scale = move |values: &mut Buffer, factors: &[f32]| {
            values.chunks_exact_mut(image).zip(factors).for_each(|(v, &factor)| passes::scale(v, factor));
        };
        let mut y = Buffer::copy(&x.values);
        scale(&mut y, factors);
        let step = x.tracked.then(|| {
            let (x, factors) = (x.hollow(), factors.to_vec());
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                scale(&mut grad, &factors);
                pending.give(&x, grad);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, x.tracked, step)
    }

    /// a + b, which have the same shape.
    pub fn add(&mut self, a: &Images, b: &Images) -> Images {
        let _span = profile::operation("other operations", false);
        assert_eq!(a.shape, b.shape, "summands of two shapes");
        let mut y = Buffer::copy(&a.values);
        passes::add(&mut y, &b.values);
        let tracked = a.tracked || b.tracked;
        let step = tracked.then(|| {
            let (a, b) = (a.hollow(), b.hollow());
            let step = move |grad: Buffer, pending: &mut Pending| {
                if a.tracked {
                    pending.give(&a, Buffer::copy(&grad));
                }
                pending.give(&b, grad);
            };
            Box::new(step) as Step
        });
        self.push(a.shape, y, tracked, step)
    }

    /// The channels of a, followed by those of b: (B, H, W, C) and (B, H, W, D) → (B, H, W, C + D).
    pub fn concat(&mut self, a: &Images, b: &Images) -> Images {
        let _span = profile::operation("other operations", false);
        let ([batch, height, width, first], [.., second]) = (a.shape, b.shape);
        assert_eq!(a.shape[..3], b.shape[..3], "images of two sizes");
        let mut y = Buffer::scratch(a.len() + b.len());
        for (y, (a, b)) in y
            .chunks_exact_mut(first + second)
            .zip(a.values.chunks_exact(first).zip(b.values.chunks_exact(second)))
        {
            y[..first].copy_from_slice(a);
            y[first..].copy_from_slice(b);
        }
        let tracked = a.tracked || b.tracked;
        let step = tracked.then(|| {
            let (a, b) = (a.hollow(), b.hollow());
            let step = move |grad: Buffer, pending: &mut Pending| {
                for (x, range) in [(&a, 0..first), (&b, first..first + second)] {
                    if x.tracked {
                        let mut part = Buffer::scratch(x.len());
                        let pixels =
                            part.chunks_exact_mut(range.len()).zip(grad.chunks_exact(first + second));
                        pixels.for_each(|(part, grad)| part.copy_from_slice(&grad[range.clone()]));
                        pending.give(x, part);
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, height, width, first + second], y, tracked, step)
    }
}
