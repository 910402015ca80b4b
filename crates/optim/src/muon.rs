//! Muon over named matrices.

use candle_core::{Result, Tensor, Var};
use duet_kernels::optimise::{self, MuonStep};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// μ of the momentum, as in Jordan et al. 2024.
const MOMENTUM: f64 = 0.95;

/// Momentum whose matrices become orthogonal before each step (Jordan et al. 2024). It equals torch's Muon
/// with `adjust_lr_fn="match_rms_adamw"`.
///
/// m ← μm + (1-μ)g; θ ← θ(1 - lr·λ) - lr·0.2√max(rows, columns)·O((1-μ)g + μm), μ = 0.95, where O(USVᵀ) is
/// nearly UVᵀ. The factor makes the step about as long as AdamW's, so that both take the same learning
/// rate and weight decay (Liu et al. 2025, equation 4). The momentum is public: it is part of a
/// checkpoint. A convolution's filters are the rows of its matrix.
#[derive(Debug)]
pub struct Muon {
    weight_decay: f64,
    /// Momentum by parameter name.
    pub momentum: BTreeMap<String, Var>,
}

impl Muon {
    /// Starts with all momentum zero. Errors: a parameter of rank below 2.
    pub fn new<'a>(parameters: impl Iterator<Item = (&'a str, &'a Var)>, weight_decay: f64) -> Result<Self> {
        let zero = |(name, var): (&str, &Var)| {
            if var.rank() < 2 {
                candle_core::bail!("Muon: {name} of shape {:?} is no matrix", var.shape());
            }
            Ok((name.to_string(), Var::from_tensor(&var.zeros_like()?)?))
        };
        Ok(Self { weight_decay, momentum: parameters.map(zero).collect::<Result<_>>()? })
    }

    /// Takes one step for the `parameters` that have a momentum here; the others stay as they are.
    ///
    /// Errors: a momentum without its parameter; a parameter without a gradient, or with one of another
    /// shape.
    pub fn step<'a>(
        &mut self,
        parameters: impl Iterator<Item = (&'a str, &'a Var)>,
        gradients: &BTreeMap<String, Tensor>,
        learning_rate: f64,
    ) -> Result<()> {
        let keep = 1.0 - learning_rate * self.weight_decay;
        let of_muon = parameters.filter_map(|(name, var)| Some((name, var, self.momentum.get(name)?)));
        let of_muon: Vec<_> = of_muon.collect();
        if of_muon.len() != self.momentum.len() {
            candle_core::bail!("Muon: {} of {} parameters are here", of_muon.len(), self.momentum.len());
        }
        of_muon.into_par_iter().try_for_each(|(name, var, momentum)| {
            let Some(gradient) = gradients.get(name) else {
                candle_core::bail!("Muon: no gradient for {name}");
            };
            let rows = var.dim(0)?;
            let longest = rows.max(var.elem_count() / rows.max(1)) as f64;
            let rate = learning_rate * 0.2 * longest.sqrt();
            optimise::muon(var, momentum, gradient, MuonStep { momentum: MOMENTUM, keep, rate })
        })
    }
}
