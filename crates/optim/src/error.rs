//! What can go wrong with an average.

/// An average that cannot be made; the message says why, and what could be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OptimError(pub(crate) String);
