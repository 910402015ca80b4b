//! What can be wrong with a schedule, a spacing or a scheduler's JSON.

use std::borrow::Cow;

use crate::timesteps::MAX_TIMESTEPS;

/// Why a schedule, a spacing or a scheduler configuration was refused. Each message has the wrong values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A name that is not in the list.
    #[error("unknown {what} {name:?}: expected {expected}")]
    UnknownName {
        /// The kind of thing named, such as "beta schedule".
        what: &'static str,
        /// The name as given.
        name: String,
        /// The names there are.
        expected: &'static str,
    },
    /// A text that does not give a value of an option.
    #[error("{text}: {expected}")]
    Text {
        /// The text as given.
        text: String,
        /// The texts there are, with the ranges of their numbers.
        expected: Cow<'static, str>,
    },
    /// η outside 0 to 1.
    #[error("eta {0}: must be 0 to 1")]
    Eta(f64),
    /// An η other than 0 for a solver without η.
    #[error("eta {eta}: only ddim has it, not {solver}")]
    NoEta {
        /// η as given.
        eta: f64,
        /// The solver as text.
        solver: String,
    },
    /// An order that a solver does not have.
    #[error("order {order} of {solver}: must be 1 to {most}")]
    Order {
        /// The order as given.
        order: usize,
        /// The solver's name.
        solver: &'static str,
        /// Its highest order.
        most: usize,
    },
    /// A table of updates that no sampler can use.
    #[error("table of updates: {0}")]
    Updates(String),
    /// T is 0 or beyond [`MAX_TIMESTEPS`].
    #[error("a schedule has 1 to {MAX_TIMESTEPS} timesteps, not {0}")]
    Timesteps(usize),
    /// A number outside its range, or NaN.
    #[error("{name} = {value} must be {range}")]
    OutOfRange {
        /// The name of the number.
        name: String,
        /// Its value.
        value: f64,
        /// Where it may lie.
        range: &'static str,
    },
    /// A list of betas whose length is not T.
    #[error("{timesteps} timesteps need as many betas, not {betas}")]
    BetaCount {
        /// T.
        timesteps: usize,
        /// The length of the list.
        betas: usize,
    },
    /// ᾱ does not fall from t-1 to t, or falls by too little for f64.
    #[error("alpha_bar must fall at every timestep, but goes from {before} to {value} at t = {t}")]
    NotFalling {
        /// The timestep.
        t: usize,
        /// ᾱ at t-1, or 1 at t = 0.
        before: f64,
        /// ᾱ at t.
        value: f64,
    },
    /// N is 0 or more than T.
    #[error(
        "{steps} sampling steps asked of a schedule of {timesteps} timesteps: 1 to {timesteps} are possible"
    )]
    StepCount {
        /// N.
        steps: usize,
        /// T.
        timesteps: usize,
    },
    /// A user's own list of timesteps is empty, not falling, too long or beyond T-1.
    #[error("list of timesteps: {0}")]
    List(String),
    /// ε-prediction with a schedule whose last ᾱ is 0.
    #[error(
        "epsilon-prediction cannot be used with zero terminal SNR: there x_t is pure noise, and its epsilon says nothing \
         about x_0; predict v or x0"
    )]
    EpsilonAtZeroSnr,
    /// A `scheduler_config.json` that is no JSON object, or has an unknown key or a value of the
    /// wrong type.
    #[error("scheduler_config.json: {0}")]
    Json(String),
    /// A `scheduler_config.json` that asks for something that this crate does not compute.
    #[error("scheduler_config.json: {key} = {value} is not supported: {expected}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
}
