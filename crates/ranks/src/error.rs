//! Why ranks cannot go on together.

/// An error of a job of several ranks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RankError {
    /// A rank has sent no sign of life for longer than the limit.
    #[error(
        "rank {rank} has not answered for {seconds} seconds: its process is stopped, or its machine or network is gone"
    )]
    Lost {
        /// The silent rank.
        rank: usize,
        /// The limit that has passed.
        seconds: u64,
    },
    /// A rank has ended with an error of its own, and said so.
    #[error("rank {rank}: {message}")]
    Failed {
        /// That rank.
        rank: usize,
        /// Its exit code.
        code: u8,
        /// Its error.
        message: String,
    },
    /// What a rank sent is not what is expected of it.
    #[error("rank {rank} sent something else than expected: {reason}")]
    Message {
        /// That rank.
        rank: usize,
        /// What is wrong.
        reason: String,
    },
    /// The job cannot be joined.
    #[error("{0}")]
    Start(String),
}
