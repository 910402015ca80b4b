//! Several ranks that work for one caller: rank 0 leads, and the others do what it asks of them.
//!
//! Rank 0 runs the program, reads models and writes files. The others hold a trainer, a model and a
//! teacher in memory, and need nothing from a disk but the training images. What comes out is the same, byte for byte, for any number of ranks.

pub(crate) mod drawing;
mod follow;
pub(crate) mod hands;
mod introduction;
pub(crate) mod lead;
pub(crate) mod order;

pub use drawing::Denoised;
pub use follow::follow;
pub use introduction::Introduction;
pub use lead::Job;
