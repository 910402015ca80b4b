//! Rows of a table by label (an embedding) on the tape.

use crate::buffer::Buffer;
use crate::elementwise::passes;
use crate::profile;
use crate::tape::{Images, Pending, Step, Tape};

impl Tape {
    /// x (B, 1, 1, C) plus the rows of a table (rows, C) that `labels` (B) name.
    pub fn add_rows(&mut self, x: &Images, name: &str, table: &[f32], labels: &[u32]) -> Images {
        let _span = profile::operation("other operations", false);
        let [batch, height, width, channels] = x.shape;
        assert!(height * width == 1 && labels.len() == batch, "one row for each image");
        let mut y = Buffer::copy(&x.values);
        for (y, &label) in y.chunks_exact_mut(channels).zip(labels) {
            passes::add(y, &table[label as usize * channels..][..channels]);
        }
        let step = self.records.then(|| {
            let (x, name, len, labels) = (x.hollow(), name.to_string(), table.len(), labels.to_vec());
            let step = move |grad: Buffer, pending: &mut Pending| {
                let table = pending.parameters.slot(name, len);
                for (grad, &label) in grad.chunks_exact(channels).zip(&labels) {
                    passes::add(&mut table[label as usize * channels..][..channels], grad);
                }
                pending.give(&x, grad);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, true, step)
    }
}
