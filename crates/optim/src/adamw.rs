//! AdamW over named parameters.

use candle_core::{Result, Tensor, Var};
use duet_kernels::optimise::{self, AdamWStep};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Settings of [`AdamW`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// β₁ and β₂, the decays of the first and second moment.
    pub betas: [f64; 2],
    /// ε, added to the root of the second moment.
    pub eps: f64,
    /// λ, the decoupled weight decay.
    pub weight_decay: f64,
}

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as torch computes it.
///
/// θ ← θ(1 - lr·λ); m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²;
/// θ ← θ - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + eps). The moments are public: they are part of a checkpoint.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    /// First moments by parameter name.
    pub first: BTreeMap<String, Var>,
    /// Second moments by parameter name.
    pub second: BTreeMap<String, Var>,
}

impl AdamW {
    /// Starts with all moments zero.
    pub fn new<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a Var)>,
        options: AdamWOptions,
    ) -> Result<Self> {
        let mut adam = Self { options, first: BTreeMap::new(), second: BTreeMap::new() };
        for (name, var) in parameters {
            adam.first.insert(name.into(), Var::from_tensor(&var.zeros_like()?)?);
            adam.second.insert(name.into(), Var::from_tensor(&var.zeros_like()?)?);
        }
        Ok(adam)
    }

    /// Takes step `step`, counted from 1. `gradients` holds a gradient for each parameter, under its name
    /// and with its shape. `decays` says to which parameters the weight decay applies.
    ///
    /// Errors: a parameter without a gradient or moments, or shapes that differ.
    pub fn step<'a>(
        &mut self,
        step: u64,
        parameters: impl Iterator<Item = (&'a str, &'a Var)>,
        gradients: &BTreeMap<String, Tensor>,
        learning_rate: f64,
        decays: impl Fn(&str, usize) -> bool + Sync,
    ) -> Result<()> {
        let AdamWOptions { betas, eps, weight_decay } = self.options;
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let (correction1, correction2) = (correction(betas[0]), correction(betas[1]).sqrt());
        let parameters: Vec<_> = parameters.collect();
        parameters.into_par_iter().try_for_each(|(name, var)| {
            let (Some(m), Some(v), Some(g)) =
                (self.first.get(name), self.second.get(name), gradients.get(name))
            else {
                candle_core::bail!("AdamW: no moments or no gradient for {name}");
            };
            let decay = if decays(name, var.rank()) { learning_rate * weight_decay } else { 0.0 };
            let (keep, rate) = (1.0 - decay, learning_rate / correction1);
            optimise::adamw(var, m, v, g, AdamWStep { betas, keep, rate, correction: correction2, eps })
        })
    }
}
