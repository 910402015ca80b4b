//! What can go wrong with an average.

/// An average that cannot be made. The message says why, and which averages are possible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OptimError(pub(crate) String);
