//! Attention over the pixels of an image on the tape.

mod attend;
mod softmax;

use crate::buffer::Buffer;
use crate::profile::{self, Work};
use crate::tape::{Images, Pending, Step, Tape, Values};
use attend::AttentionSizes;
use std::sync::Arc;

impl Tape {
    /// softmax(q kᵀ / √(C / heads)) v over the pixels of each image; all (B, H, W, C).
    ///
    /// Its memory grows with the number of pixels, not with its square.
    pub fn attention(&mut self, [q, k, v]: [&Images; 3], heads: usize) -> Images {
        profile::layer("attention", false);
        let _span = profile::span(Work::Softmax);
        let [batch, height, width, channels] = q.shape;
        assert!(q.shape == k.shape && k.shape == v.shape && heads > 0 && channels.is_multiple_of(heads));
        let attention = AttentionSizes { tokens: height * width, heads, width: channels / heads };
        self.multiply_adds += (2 * q.len() * height * width) as u64;
        let mut y = Buffer::scratch(q.len());
        let mut sums = Buffer::scratch(batch * attention.sums());
        attention.forward([&q.values, &k.values, &v.values], &mut y, &mut sums);
        let y = Arc::new(Values::from(y));
        let tracked = q.tracked || k.tracked || v.tracked;
        let step = tracked.then(|| {
            let (inputs, y) = ([q.clone(), k.clone(), v.clone()], y.clone());
            let step = move |grad: Buffer, pending: &mut Pending| {
                profile::layer("attention", true);
                let _span = profile::span(Work::Softmax);
                let mut grads = [(); 3].map(|()| Buffer::scratch(grad.len()));
                let [grad_q, grad_k, grad_v] = &mut grads;
                let [q, k, v] = inputs.each_ref().map(|x| &**x.values);
                attention.backward([q, k, v], (&y, &sums), &grad, [grad_q, grad_k, grad_v]);
                inputs.iter().zip(grads).for_each(|(x, grad)| pending.give(x, grad));
            };
            Box::new(step) as Step
        });
        self.push_shared(q.shape, y, tracked, step)
    }
}
