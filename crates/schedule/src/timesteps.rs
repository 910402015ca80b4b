//! The limit for the number of timesteps.

/// The largest T. A table of this length takes 8 MB; a mistyped number cannot take more.
pub const MAX_TIMESTEPS: usize = 1_000_000;
