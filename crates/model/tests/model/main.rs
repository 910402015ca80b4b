//! The tests of the network.

mod building;
mod networks;
mod onnx;
mod references;
mod snapshot;
mod tensors;
