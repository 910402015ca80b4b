//! Adaptive projected guidance (Sadat et al. 2024, "Eliminating oversaturation and artifacts").

use std::fmt;

use crate::error::SampleError;
use crate::per_image::dot;
use crate::rule::pair::{Combine, Guided, PredictionPair, Terms};
use candle_core::Tensor;

/// Splits x̂_0(c) - x̂_0(∅) into a part parallel and a part orthogonal to x̂_0(c). The orthogonal part
/// changes what an image shows; the parallel part only saturates it and counts less.
///
/// As text: `apg`, or `apg:ETA[:NORM[:MOMENTUM]]`. Missing numbers are those of [`Apg::PAPER`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apg {
    eta: f64,
    norm: f64,
    momentum: f64,
}

impl Apg {
    /// η = 0, no limit, momentum -0.5.
    pub const PAPER: Self = Self { eta: 0.0, norm: f64::INFINITY, momentum: -0.5 };

    /// `eta`, 0 to 1, is the share of the parallel part that stays; 1 is plain guidance. `norm`, above 0,
    /// limits the norm of the difference over an image; infinity means no limit. `momentum`, -1 to 1,
    /// applies to the difference over the steps. A negative value, as in the paper, pushes away from
    /// earlier directions; 0 means no momentum.
    ///
    /// Errors: a number out of its range.
    pub fn new(eta: f64, norm: f64, momentum: f64) -> Result<Self, SampleError> {
        let refuse =
            |name, value, range| Err(SampleError::Setting(format!("APG's {name} {value}: must be {range}")));
        match (0.0..=1.0).contains(&eta) {
            false => refuse("eta", eta, "0 to 1"),
            true if norm.is_nan() || norm <= 0.0 => refuse("norm", norm, "above 0"),
            true if !(-1.0..=1.0).contains(&momentum) => refuse("momentum", momentum, "-1 to 1"),
            true => Ok(Self { eta, norm, momentum }),
        }
    }

    /// x̂_0(c) + (w - 1) · (orthogonal + η · parallel), and the Δ to remember. `before` is the previous
    /// step's Δ.
    fn projected(
        &self,
        given: &Tensor,
        free: &Tensor,
        weights: &Tensor,
        before: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor), SampleError> {
        // Δ ← D + β Δ
        let mut difference = (given - free)?;
        if let Some(before) = before.filter(|_| self.momentum != 0.0) {
            difference = (difference + (before * self.momentum)?)?;
        }
        let remembered = difference.detach();
        if self.norm.is_finite() {
            let length = dot(&difference, &difference)?.sqrt()?;
            let factor = ((length + 1e-12)?.recip()? * self.norm)?.minimum(1.0)?;
            difference = difference.broadcast_mul(&factor)?;
        }
        // The parallel part is ⟨Δ, x̂_0⟩/‖x̂_0‖² x̂_0.
        let share = (dot(&difference, given)? / (dot(given, given)? + 1e-12)?)?;
        let parallel = given.broadcast_mul(&share)?;
        let step = ((&difference - &parallel)? + (&parallel * self.eta)?)?;
        Ok(((given + step.broadcast_mul(&(weights - 1.0)?)?)?, remembered))
    }
}

impl Combine for Apg {
    fn texts() -> &'static str {
        "apg or apg:ETA[:NORM[:MOMENTUM]] with ETA 0 to 1, NORM above 0 and MOMENTUM -1 to 1"
    }

    fn read(text: &str) -> Option<Self> {
        if text == "apg" {
            return Some(Self::PAPER);
        }
        let numbers: Result<Vec<f64>, _> = text.strip_prefix("apg:")?.split(':').map(str::parse).collect();
        let Self { norm, momentum, .. } = Self::PAPER;
        match numbers.ok()?[..] {
            [eta] => Self::new(eta, norm, momentum),
            [eta, norm] => Self::new(eta, norm, momentum),
            [eta, norm, momentum] => Self::new(eta, norm, momentum),
            _ => return None,
        }
        .ok()
    }

    fn terms(&self) -> Terms {
        Terms::X0
    }

    fn remembers(&self) -> bool {
        self.momentum != 0.0
    }

    fn guided(&self, pair: PredictionPair<'_>) -> Result<Guided, SampleError> {
        let (prediction, momentum) = self.projected(pair.given, pair.free, pair.weights, pair.before)?;
        Ok(Guided { prediction, remembered: Some(momentum) })
    }
}

impl fmt::Display for Apg {
    /// Writes only the numbers that differ from the defaults, and those before them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { eta, norm, momentum }, paper) = (*self, Self::PAPER);
        match (eta == paper.eta, norm == paper.norm, momentum == paper.momentum) {
            (true, true, true) => f.write_str("apg"),
            (_, true, true) => write!(f, "apg:{eta}"),
            (_, _, true) => write!(f, "apg:{eta}:{norm}"),
            _ => write!(f, "apg:{eta}:{norm}:{momentum}"),
        }
    }
}
