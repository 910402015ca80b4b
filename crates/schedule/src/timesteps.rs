//! How many timesteps there may be.

/// The largest T: a table of this length takes 8 MB, and a mistyped number takes no more.
pub const MAX_TIMESTEPS: usize = 1_000_000;
