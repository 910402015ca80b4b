//! Solvers: rules for the step from one noise level to the next.
//!
//! Each solver is a file here and two lines in this one: its `mod` and its entry in the table of
//! `solvers!`.

mod ddim;
mod ddpm;
mod dpm_solver;
mod euler;
mod heun;
mod level;
mod method;
mod moments;
mod unipc;
mod update;

use std::fmt;
use std::str::FromStr;

use crate::error::ScheduleError;
use crate::solver::method::Method;
use crate::steps::Steps;

pub use crate::solver::ddpm::Variance;
pub use crate::solver::dpm_solver::{DpmAlgorithm, SecondOrder, ThirdOrder};
pub use crate::solver::unipc::UniPcVariant;
pub use crate::solver::update::{Update, UpdateTable};

/// Makes a variant of [`Solver`] for each solver's settings, in the order in which messages name them.
macro_rules! solvers {
    ($($module:ident::$settings:ident,)+) => {
        $(pub use crate::solver::$module::$settings;)+

        /// A rule for the step from one noise level to the next, with its settings.
        ///
        /// As text: `ddim`, `ddpm`, `euler`, `heun`, `dpmpp-2m`, `dpmpp-2m-sde`, `unipc`. The type of each
        /// solver's settings lists further texts. Serde uses the same text.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Solver {
            $(#[doc = concat!("[`", stringify!($settings), "`].")] $settings($settings),)+
        }

        impl Solver {
            fn method(&self) -> &dyn Method {
                match self {
                    $(Self::$settings(settings) => settings,)+
                }
            }

            fn read(text: &str) -> Option<Self> {
                None$(.or_else(|| $settings::read(text).map(Self::$settings)))+
            }

            /// The names that a person can use.
            pub fn names() -> Vec<&'static str> {
                [$($settings::names(),)+].concat()
            }
        }

        $(impl From<$settings> for Solver {
            fn from(settings: $settings) -> Self {
                Self::$settings(settings)
            }
        })+
    };
}

solvers! {
    ddim::Ddim,
    ddpm::Ddpm,
    euler::Euler,
    heun::Heun,
    dpm_solver::DpmSolver,
    unipc::UniPc,
}

impl Solver {
    /// This solver with another η: 0 to 1 for DDIM, 0 for the others. Errors: any other η.
    pub fn with_eta(self, eta: f64) -> Result<Self, ScheduleError> {
        match self {
            _ if !(0.0..=1.0).contains(&eta) => Err(ScheduleError::Eta(eta)),
            Self::Ddim(_) => Ok(Ddim { eta }.into()),
            _ if eta != 0.0 => Err(ScheduleError::NoEta { eta, solver: self.to_string() }),
            solver => Ok(solver),
        }
    }

    /// This solver unchanged. Errors: settings out of their ranges (η, and the orders of multistep
    /// solvers).
    pub fn checked(self) -> Result<Self, ScheduleError> {
        self.method().check()?;
        Ok(self)
    }

    /// One name for all settings: `ddim`, `ddpm`, `euler`, `heun`, `dpm-solver` or `unipc`.
    pub fn name(&self) -> &'static str {
        self.method().name()
    }

    /// The number of intervals, and thus of timesteps, for which the network is asked at most `evaluations`
    /// times.
    ///
    /// It is `evaluations`, except for [`Heun`]: ⌈evaluations/2⌉. N intervals of Heun take 2N - 1
    /// evaluations; each interval that begins at ᾱ <
    /// [`EPSILON_MIN_ALPHA_BAR`](crate::EPSILON_MIN_ALPHA_BAR) takes one less.
    pub fn intervals(self, evaluations: usize) -> usize {
        self.method().intervals(evaluations)
    }

    /// The table of factors: one update for each step.
    ///
    /// [`Heun`] reads `steps` as intervals and takes two steps in most of them. From ᾱ = 0, where λ is -∞
    /// and σ infinite, every solver takes a step of order 1, and no later step uses the estimate made
    /// there.
    /// Errors: as [`Solver::checked`].
    pub fn table(self, steps: Steps) -> Result<UpdateTable, ScheduleError> {
        self.method().check()?;
        self.method().table(steps)
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.method().fmt(f)
    }
}

impl FromStr for Solver {
    type Err = ScheduleError;

    /// Errors: a text that no solver reads; settings that are out of range.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let refuse = |expected: String| ScheduleError::Text { text: text.into(), expected: expected.into() };
        let unknown = || {
            let names = Self::names();
            let (last, others) = names.split_last().unwrap_or((&"", &[]));
            refuse(format!("expected {} or {last}", others.join(", ")))
        };
        Self::read(text).ok_or_else(unknown)?.checked().map_err(|error| refuse(error.to_string()))
    }
}

crate::serde_as_text!(Solver);
