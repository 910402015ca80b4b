//! Fast differentiable CPU ops for any convolutional network, on candle tensors or on a tape.
//!
//! **On candle tensors** each op is a free function with gradients for all its inputs: [`conv2d`],
//! [`group_norm`] (with SiLU fused on request) and [`linear`]. For f32 on the CPU they run this crate's
//! kernels; for other devices and types they call candle's own ops. [`optimise`] updates a parameter in
//! place, as optimisers do.
//!
//! **On a [`tape`]** the same kernels run without candle's graph, on channels-last images. Each thread
//! works on a chunk of a batch. `duet-model` trains and samples in this way. It is about twice as fast,
//! because nothing is transposed and a chunk stays in its core's cache.
//!
//! Both ways keep two promises, bit for bit: a result does not depend on the number of threads, and the
//! result for one image does not depend on the other images of its batch. The shapes alone decide where
//! work is cut, and partial sums are added in the order of the images. The instruction set is chosen at run
//! time ([`instruction_set`]); results on different sets differ by rounding.
//!
//! [`mod@reference`] holds the naive loops for the tests of the kernels. docs/design/kernels.md lists the
//! kernels' errors and speeds.

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
pub mod profile;
mod resample;
mod rows;
mod simd;
mod storage;
pub mod tape;

pub use candle::{Conv2d, GroupNorm, conv2d, group_norm, linear};
pub use conv::sizes::Padding;
pub use conv::{ConvWeights, Sum, forms_of, reference};
pub use elementwise::activation::Activation;
pub use norm::NormWeights;
pub use simd::{InstructionSet, instruction_set, limit_instruction_set, with_instruction_set};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
