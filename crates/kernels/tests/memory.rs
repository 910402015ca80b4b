//! Attention's memory grows with the number of pixels, not with its square.
use duet_kernels::tape::{Images, Tape};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The largest number of bytes in use, beyond those in use before.
fn peak<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = f();
    (result, (MEMORY.peak_usage() - before) as f64)
}

/// The peaks for one image: forward alone, and forward and backward.
fn attention_peaks(side: usize) -> [f64; 2] {
    let (channels, heads) = (16, 2);
    let values: Vec<f32> = (0..side * side * channels).map(|i| (i % 97) as f32 / 97.0).collect();
    let mut tape = Tape::recording();
    let x = tape.variable("x", &Images::new([1, side, side, channels], &values));
    let (y, forward) = peak(|| tape.attention([&x, &x, &x], heads));
    let (_, backward) = peak(|| tape.backward(&y, &values));
    [forward, backward]
}

/// This file has one test, because a process shares its memory.
#[test]
fn attention_takes_memory_in_proportion_to_pixels() {
    // The sizes have this order, because kernels keep buffers for later ones of about the same size.
    let [small, large] = [64, 128].map(attention_peaks);
    let input = |side: usize| (side * side * 16 * size_of::<f32>()) as f64;
    for (what, small, large) in [("forward", small[0], large[0]), ("backward", small[1], large[1])] {
        println!("{what}: {:.2} and {:.2} MB", small / 1e6, large / 1e6);
        assert!(large < 4.1 * small, "{what}: {small} bytes at 64×64, {large} at 128×128");
        assert!(large < 8.0 * input(128), "{what}: {large} bytes at 128×128");
    }
}
