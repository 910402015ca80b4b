//! Classifier-free guidance and samplers around any denoiser.
//!
//! For this crate a network is one function, (x_t, t, labels) → prediction. A [`Trajectory`] owns the state
//! x_t, and its caller takes the steps. Progress bars, previews and animations therefore need no hooks.
//! Noise is a function of (seed, step): the image of a seed and a class does not depend on the rest of the
//! batch.
//!
//! Every option has a text form, which `FromStr` reads and `Display` writes, and its constructor checks its
//! range: [`Rule`], [`WeightSchedule`], [`GuidanceInterval`], [`History`], [`Rescale`], [`Strength`],
//! [`Seeds`], [`Interpolation`]. Your own sampler is a table of [`Update`]s ([`Sampler::from_updates`]),
//! and your own rule is a closure ([`Rule::custom`]).
//!
//! ```
//! use duet_sample::{Guidance, Labels, Sampler, Trajectory};
//! use duet_schedule::{BetaSchedule, Clip, NoiseSchedule, Prediction, Spacing};
//! use candle_core::Device;
//!
//! let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000)?;
//! let timesteps = Spacing::Trailing.timesteps(10, &schedule)?;
//! let ddim = Sampler::ddim(&schedule, &timesteps, Prediction::V, 0.0)?
//!     .with_clip(Clip::Static { limit: 1.0 })?;
//! let labels = Labels::new(&[3, 7]);
//! let mut trajectory = Trajectory::new(ddim, &[0, 1], (1, 8, 8), Some(labels), &Device::Cpu)?;
//! let guidance = Guidance::new(2.0, Some(10));
//! while !trajectory.is_done() {
//!     trajectory.step(&guidance, |x, _t, _labels| Ok(x.affine(0.3, 0.1)?))?;
//! }
//! assert_eq!(trajectory.x().dims(), [2, 1, 8, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod error;
mod estimate;
mod guidance;
mod guidance_interval;
mod guided;
mod history;
mod interpolation;
mod inversion;
mod known;
mod labels;
mod noise;
mod noise_interval;
mod per_image;
mod place;
mod question;
mod rescale;
mod rule;
mod sampler;
mod seeds;
mod seen;
mod strength;
mod trajectory;
mod weight;

pub use duet_schedule::Update;
pub use error::SampleError;
pub use estimate::Estimate;
pub use guidance::{Away, Guidance, Renoise};
pub use guidance_interval::GuidanceInterval;
pub use guided::{GuidanceMemory, Reading, State};
pub use history::History;
pub use interpolation::{Ends, Interpolation};
pub use inversion::Inversion;
pub use known::Known;
pub use labels::Labels;
pub use noise::{initial_noise, interpolate_noise, step_noise};
pub use noise_interval::NoiseInterval;
pub use place::Place;
pub use question::{Denoise, Networks};
pub use rescale::Rescale;
pub use rule::*;
pub use sampler::Sampler;
pub use seeds::Seeds;
pub use seen::{Seen, Views};
pub use strength::Strength;
pub use trajectory::Trajectory;
pub use weight::WeightSchedule;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
