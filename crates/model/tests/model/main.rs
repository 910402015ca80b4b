//! The tests of the network.

mod building;
mod references;
mod snapshot;
mod tensors;
