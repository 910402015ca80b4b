//! Processes that work as one: messages between them, signs of life, and sums whose bytes do not depend on how many
//! take part.
//!
//! A job has ranks, numbered from 0. Rank 0 leads. [`Ranks`] is a job as one rank sees it. Ranks are processes that
//! `mpirun` or `srun` has started (`mpi`, with the feature of that name), threads of one process ([`Ranks::local`], for
//! tests), or one process alone ([`Ranks::alone`]).
//!
//! Sums of floating-point numbers depend on the order of their additions. A [`TreeSum`] adds in the order of a binary
//! tree over the terms' numbers, and [`Ranks::sum`] goes on along the same tree from rank to rank: the result is the
//! same, bit for bit, for any number of ranks and threads.
//!
//! ```
#![doc = include_str!("../examples/sum.rs")]
//! ```

#![warn(clippy::missing_errors_doc)]

mod error;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;
mod ranks;
mod spread;
mod transport;
mod tree;

pub use error::RankError;
pub use launch::{Launch, launch};
#[cfg(feature = "mpi")]
pub use mpi::mpi;
pub use ranks::{Channel, Ranks, Traffic};
pub use transport::{Arrived, Transport};
pub use tree::{Addend, BegunSum, Total, TreeSum, shares};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
