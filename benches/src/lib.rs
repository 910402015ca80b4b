//! What Duet's benchmarks and checks share.
//!
//! [`Classifier`] is the judge of samples: a small network trained on the embedded digits.
//! [`Preset`] holds the networks and the settings that are timed.

pub mod classifier;
pub mod preset;

pub use classifier::Classifier;
pub use preset::Preset;
