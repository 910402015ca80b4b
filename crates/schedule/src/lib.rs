//! Noise schedules and timestep spacings of diffusion models, in f64.
//!
//! A diffusion model is trained on x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε, t in 0..T-1, and sampled at N of its T
//! timesteps. This crate computes the numbers for this, and nothing else:
//!
//! - [`NoiseSchedule`] is the table of ᾱ.
//! - [`Prediction`] says what a network predicts, and how x_0 and ε follow from it.
//! - [`Spacing`] chooses the timesteps that a sampler visits. [`Steps`] are these timesteps with their
//!   noise levels.
//! - [`Solver`] turns the steps into a table of factors, with one [`Update`] for each step.
//! - [`DiffusersScheduler`] reads and writes all of this as the `scheduler_config.json` of diffusers.
//!
//! The crate does no I/O, draws no random numbers and needs no tensor library.
//!
//! Every option has a text form: [`Spacing`], [`Solver`], [`Clip`], [`Prediction`] and [`BetaSchedule`] are
//! read from text (`FromStr`) and written as text (`Display`).
//!
//! ```
//! use duet_schedule::{BetaSchedule, NoiseSchedule, Spacing};
//!
//! let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000)?.with_zero_terminal_snr();
//! assert_eq!(Spacing::Trailing.timesteps(4, &schedule)?, [999, 749, 499, 249]);
//! assert_eq!(schedule.alpha_bar(999), 0.0);
//! # Ok::<(), duet_schedule::ScheduleError>(())
//! ```

mod betas;
mod clip;
mod diffusers;
mod distinct;
mod dpm_keys;
mod error;
mod foreign_keys;
mod keys;
mod noise;
mod noising;
mod prediction;
mod solver;
mod spacing;
mod steps;
mod text;
mod timesteps;

pub use betas::{BETA_END, BETA_START, BetaSchedule, beta_range};
pub use clip::Clip;
pub use diffusers::{DIFFUSERS_VERSION, DiffusersScheduler};
pub use error::ScheduleError;
pub use noise::NoiseSchedule;
pub use prediction::{EPSILON_MIN_ALPHA_BAR, MAX_LAST_ALPHA_BAR, Prediction};
pub use solver::*;
pub use spacing::{KARRAS_RHO, SIGMOID_SHARPNESS, Spacing};
pub use steps::Steps;
pub use timesteps::MAX_TIMESTEPS;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
