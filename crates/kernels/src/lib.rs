//! Fast differentiable CPU ops for candle tensors, for any convolutional network.
//!
//! Each op is a free function over tensors with gradients for all its inputs: [`conv2d`],
//! [`group_norm`] (with SiLU fused on request) and [`linear`]. On the CPU in f32 they run the
//! kernels of this crate; for other devices and types they are candle's own ops.
//!
//! Two promises hold for each: a result does not depend on the number of threads, and the result
//! for one image does not depend on which images share its batch, bit for bit. Work is cut at
//! places fixed by the shapes alone, and partial sums are added in the order of the images.
//!
//! [`mod@reference`] holds the naive loops that the kernels are tested against.

mod conv;
mod group_norm;
mod linear;
mod matrix;
pub mod reference;
mod storage;

pub use conv::{Conv2d, Padding, conv2d};
pub use group_norm::{Activation, GroupNorm, group_norm};
pub use linear::linear;
