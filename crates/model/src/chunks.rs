//! How a batch is cut into parts that go through the network together.

use std::ops::Range;

/// The most images of a chunk in training, whose gradients are added up on one thread.
const CHUNK: usize = 8;

/// The images of a chunk in training on such batches; the last chunk may have fewer. A batch of two images or more has two chunks
/// at least, so that two threads train on it.
pub(crate) fn chunk(batch: usize) -> usize {
    batch.div_ceil(2).clamp(1, CHUNK)
}

/// The images of each chunk in training: of `batches` batches of so many images each, one behind the other. The chunks are
/// the terms of a step's sum, in this order. They depend on these numbers alone, because the order of sums over images
/// depends on them.
pub fn chunks(batch: usize, batches: usize) -> Vec<Range<usize>> {
    let of_batch = |i: usize| {
        let (first, end) = (i * batch, (i + 1) * batch);
        let chunk = chunk(batch);
        (first..end).step_by(chunk).map(move |first| first..end.min(first + chunk))
    };
    (0..batches).flat_map(of_batch).collect()
}

/// How many images go through the network at once: eight of 32×32 pixels, fewer of more pixels, whose layers have work
/// enough for each pass over the weights. It does not depend on the batch, because the order of sums depends on it.
pub(crate) fn at_once(height: usize, width: usize) -> usize {
    const PIXELS: usize = 8 * 32 * 32;
    1 << (PIXELS / (height * width).max(1)).clamp(1, CHUNK).ilog2()
}
