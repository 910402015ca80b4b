//! The settings of samplers, as far as they are numbers and words.

/// A rule for the step from one noise level to the next. `duet-sample` has the samplers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Solver {
    /// Denoising diffusion implicit models (Song et al. 2021).
    Ddim {
        /// η from 0 (deterministic) to 1 (as much noise as DDPM).
        eta: f64,
    },
    /// Ancestral sampling from the posterior (Ho et al. 2020).
    Ddpm {
        /// The variance of each step's noise.
        variance: Variance,
    },
    /// Multistep solvers in λ = ln(√ᾱ/√(1-ᾱ)) (Lu et al. 2022).
    DpmSolver(DpmSolver),
    /// Multistep predictor and corrector in λ (Zhao et al. 2023).
    UniPc(UniPc),
    /// Euler's rule in σ = √((1-ᾱ)/ᾱ) (Karras et al. 2022, algorithm 1 without churn): DDIM with η = 0
    /// by another name.
    Euler,
    /// Heun's rule in σ (Karras et al. 2022, algorithm 2 without churn), of order 2. It asks the network
    /// twice in each interval but the last: see [`Solver::intervals`].
    Heun,
}

impl Solver {
    /// How many intervals, and so timesteps, to ask a spacing for, if the network is to be asked
    /// `evaluations` times at most.
    ///
    /// One for each, but ⌈evaluations/2⌉ with [`Solver::Heun`], whose N intervals take 2N - 1, less one
    /// for each that begins at ᾱ < [`EPSILON_MIN_ALPHA_BAR`](crate::EPSILON_MIN_ALPHA_BAR).
    pub fn intervals(self, evaluations: usize) -> usize {
        match self {
            Self::Heun => evaluations.div_ceil(2),
            Self::Ddim { .. } | Self::Ddpm { .. } | Self::DpmSolver(_) | Self::UniPc(_) | Self::Euler => {
                evaluations
            }
        }
    }
}

/// The variance of a DDPM step (Ho et al. 2020, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// β̃ = (1-ᾱ')/(1-ᾱ)·β, right for data at one point.
    Small,
    /// β = 1 - ᾱ/ᾱ', right for normal data.
    Large,
}

/// A multistep DPM-Solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpmSolver {
    /// 1, 2 or 3: estimates that a step looks at.
    pub order: usize,
    /// What is solved.
    pub algorithm: DpmAlgorithm,
    /// How a step of order 2 uses its two estimates.
    pub second_order: SecondOrder,
    /// How a step of order 3 uses its three.
    pub third_order: ThirdOrder,
    /// Of fewer than 15 steps the last has order 1 and the one before at most 2 (Lu et al. 2022b).
    pub lower_order_final: bool,
    /// The last step has order 1 however many there are.
    pub euler_at_final: bool,
}

/// What a DPM-Solver solves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DpmAlgorithm {
    /// The probability flow in x̂_0: DPM-Solver++ (Lu et al. 2022b).
    DataOde,
    /// The reverse process in x̂_0: SDE-DPM-Solver++ (Lu et al. 2022b, appendix).
    DataSde,
    /// The probability flow in ε̂: DPM-Solver (Lu et al. 2022).
    NoiseOde,
    /// The reverse process in ε̂, up to order 2.
    NoiseSde,
}

impl DpmAlgorithm {
    /// The highest order that there is of it.
    pub fn max_order(self) -> usize {
        match self {
            Self::NoiseSde => 2,
            Self::DataOde | Self::DataSde | Self::NoiseOde => 3,
        }
    }
}

/// The two solvers of order 2, which differ by a term of order 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondOrder {
    /// The derivative at the middle of the step.
    Midpoint,
    /// The derivative at its end, as the exact integral weighs it.
    Heun,
}

/// The two solvers of order 3, which differ in the factor of the second difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThirdOrder {
    /// The integral of the parabola through the three estimates, which is of order 3.
    Exact,
    /// As diffusers 0.42 computes it, for models whose scheduler asks for that: half of the exact factor
    /// for the two that solve the flow, which is of order 2, and about -√ᾱ for the one with noise, where
    /// the exact factor goes to 0 with the step, which is of order 1.
    Diffusers,
}

/// UniPC in x̂_0 (Zhao et al. 2023, algorithms 5 to 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniPc {
    /// 1, 2 or 3: estimates that a prediction looks at; corrections look at one more.
    pub order: usize,
    /// B(h).
    pub variant: UniPcVariant,
    /// Whether each step begins with a correction of the one before, by what the network said at its
    /// end. It costs no evaluation and raises the order by one.
    pub corrector: bool,
    /// The last step has order 1, the one before at most 2.
    pub lower_order_final: bool,
}

/// B(h), which counts in predictions of order 2 and corrections of order 1 alone: both weigh a
/// difference of estimates by B(h)/2, the others by what integrates a polynomial exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniPcVariant {
    /// h, which grows without bound as ᾱ goes to 0.
    Bh1,
    /// 1 - e^-h.
    Bh2,
}
