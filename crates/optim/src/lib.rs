//! Optimisers of a network's weights, and averages of the weights.
//!
//! [`AdamW`] and [`Muon`] take one step over named parameters, in place. [`clip_global_norm`] prepares the
//! gradients for a step, and [`LearningRate`] gives its length. [`ema_decay`] and [`power_decay`] say how
//! much an average keeps in a step. [`power_factors`] makes an average of any length after the training.
//! Nothing here depends on what the parameters are for.

mod adamw;
mod clip;
mod ema;
mod error;
mod learning_rate;
mod muon;
mod power_ema;

pub use adamw::{AdamW, AdamWOptions};
pub use clip::clip_global_norm;
pub use ema::{ema_decay, ema_reached};
pub use error::OptimError;
pub use learning_rate::LearningRate;
pub use muon::Muon;
pub use power_ema::{POWER_LENGTHS, PowerAverage, power_decay, power_exponent, power_factors};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
