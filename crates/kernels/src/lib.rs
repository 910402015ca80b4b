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

mod attend;
mod buffer;
mod chunks;
mod conv;
mod elementwise;
mod group_norm;
mod kernel;
mod linear;
mod normalise;
pub mod optimise;

mod patches;
pub mod peak;
mod product;
pub mod reference;
mod simd;
mod sizes;
mod storage;
pub mod tape;
mod winograd;

pub use conv::{Conv2d, conv2d};
pub use group_norm::{Activation, GroupNorm, group_norm};
pub use linear::linear;
pub use simd::{InstructionSet, instruction_set, with_instruction_set};
pub use sizes::Padding;
