//! Attention's memory grows with the number of pixels, not with its square.
use duet_kernels::tape::{Images, Tape};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes in use at most, beyond what was in use before.
fn peak<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = f();
    (result, (MEMORY.peak_usage() - before) as f64)
}

/// Of one image: forward alone, and back after it.
fn attention_peaks(side: usize) -> [f64; 2] {
    let (channels, heads) = (16, 2);
    let values: Vec<f32> = (0..side * side * channels).map(|i| (i % 97) as f32 / 97.0).collect();
    let mut tape = Tape::recording();
    let x = tape.variable("x", &Images::new([1, side, side, channels], &values));
    let (y, forward) = peak(|| tape.attention([&x, &x, &x], heads));
    let (_, backward) = peak(|| tape.backward(&y, &values));
    [forward, backward]
}

/// One test, since all of a process shares its memory.
#[test]
fn attention_takes_memory_in_proportion_to_pixels() {
    // Sizes in this order, since kernels keep buffers for the next ones of about their size.
    let [small, large] = [64, 128].map(attention_peaks);
    let input = |side: usize| (side * side * 16 * size_of::<f32>()) as f64;
    for (what, small, large) in [("forward", small[0], large[0]), ("backward", small[1], large[1])] {
        println!("{what}: {:.2} and {:.2} MB", small / 1e6, large / 1e6);
        assert!(large < 4.1 * small, "{what}: {small} bytes at 64×64, {large} at 128×128");
        assert!(large < 8.0 * input(128), "{what}: {large} bytes at 128×128");
    }
}
