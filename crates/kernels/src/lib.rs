//! Fast differentiable CPU ops for any convolutional network, on candle tensors or on a tape.
//!
//! **On candle tensors** each op is a free function with gradients for all its inputs: [`conv2d`],
//! [`group_norm`] (with SiLU fused on request) and [`linear`]. On the CPU in f32 they run the
//! kernels of this crate; for other devices and types they are candle's own ops. [`optimise`] has
//! what an optimiser does to a parameter, in place.
//!
//! **On a [`tape`]** the same kernels run without candle's graph, on channels-last images, a chunk
//! of a batch on each thread. It is what `duet-model` trains and samples with, and about twice as
//! fast: nothing is transposed, and a chunk stays in its core's cache.
//!
//! Two promises hold for each: a result does not depend on the number of threads, and the result
//! for one image does not depend on which images share its batch, bit for bit. Work is cut at
//! places fixed by the shapes alone, and partial sums are added in the order of the images.
//! Instruction sets are chosen at run time ([`instruction_set`]); they differ by rounding.
//!
//! [`mod@reference`] holds the naive loops that the kernels are tested against; docs/design/kernels.md
//! what they reach.

mod attention;
mod buffer;
mod candle;
mod chunks;
mod conv;
mod elementwise;
mod norm;
pub mod optimise;
pub mod peak;
mod product;
mod resample;
mod rows;
mod simd;
mod storage;
pub mod tape;

pub use candle::{Conv2d, GroupNorm, conv2d, group_norm, linear};
pub use conv::sizes::Padding;
pub use conv::{ConvWeights, Sum, reference};
pub use elementwise::activation::Activation;
pub use norm::NormWeights;
pub use simd::{InstructionSet, instruction_set, with_instruction_set};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
