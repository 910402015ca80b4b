//! Measures the time of attention over an image's pixels, forward and backward, on one thread.
use duet_kernels::tape::{Images, Tape};
use std::time::Instant;

const CHANNELS: usize = 64;

fn main() {
    println!("pixels    head    forward ms    with backward ms    GFLOP/s");
    for side in [7, 14, 16, 32, 64] {
        for width in [8, 32, 64] {
            let ([forward, both], multiply_adds) = measure(side, width);
            // The backward pass has five products, the forward pass two.
            let rate = 2.0 * 3.5 * multiply_adds as f64 / both / 1e6;
            let pixels = format!("{side}×{side}");
            println!("{pixels:9} {width:4} {forward:13.3} {both:19.3} {rate:10.0}");
        }
    }
}

/// Medians of [forward, forward and backward] in milliseconds, and the multiply-adds of forward.
fn measure(side: usize, width: usize) -> ([f64; 2], u64) {
    let shape = [1, side, side, CHANNELS];
    let values =
        |seed: usize| (0..side * side * CHANNELS).map(move |i| ((i + seed) * 7919 % 997) as f32 / 997.0);
    let [q, k, v] = [1, 2, 3].map(|seed| values(seed).collect::<Vec<_>>());
    let rounds = if side > 32 { 3 } else { 31 };
    let (mut forward, mut both) = (Vec::new(), Vec::new());
    let mut multiply_adds = 0;
    for _ in 0..rounds {
        let mut tape = Tape::recording();
        let inputs = [("q", &q), ("k", &k), ("v", &v)]
            .map(|(name, values)| tape.variable(name, &Images::new(shape, values)));
        let start = Instant::now();
        let y = tape.attention(inputs.each_ref(), CHANNELS / width);
        forward.push(start.elapsed().as_secs_f64() * 1e3);
        multiply_adds = tape.multiply_adds();
        tape.backward(&y, &q);
        both.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    ([median(forward), median(both)], multiply_adds)
}
