//! What Duet's benchmarks and checks share.
//!
//! [`Preset`] holds the networks and the settings that are timed.

pub mod preset;

pub use preset::Preset;
