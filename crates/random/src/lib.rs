//! Random numbers as values: every draw is a function of (seed, purpose, index).
//!
//! A training step, a parameter's initial value and a sampled image each open a stream of their own. They
//! name the purpose of the draw and its index. No generator is passed around, saved or advanced out of
//! sight. Therefore a resumed run draws the same numbers as an unbroken one, and an image does not depend
//! on the rest of its batch.
//!
//! ```
//! use duet_random::Draws;
//! let first = Draws::new(7, "noise", 0).normal();
//! assert_eq!(first, Draws::new(7, "noise", 0).normal());
//! assert_ne!(first, Draws::new(7, "noise", 1).normal());
//! ```

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// One stream of draws. Its seed, purpose and index fix all of its values.
///
/// The generator is ChaCha with 8 rounds (Bernstein 2008) under the 256-bit key
/// BLAKE3(seed ‖ index ‖ purpose), so streams of different purposes or indices are independent.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of the `index`-th thing drawn for `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let mut key = blake3::Hasher::new();
        key.update(&seed.to_le_bytes());
        key.update(&index.to_le_bytes());
        key.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(*key.finalize().as_bytes()))
    }

    /// A uniform value in [0, 1): a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform integer in 0..`n`; 0 for `n` = 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n.max(1))
    }

    /// A standard normal value.
    pub fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }

    /// Fills `out` with standard normal values, in order.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        out.fill_with(|| self.normal() as f32);
    }

    /// A uniformly random order of 0..`n` (Fisher & Yates).
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, self.below(i as u64 + 1) as usize);
        }
        order
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
