//! The values that `make_references.py` took from diffusers.

#![allow(dead_code, reason = "each test file reads one of the tables")]

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct References {
    alphas_cumprod: BTreeMap<String, Vec<(usize, f64)>>,
    timesteps: BTreeMap<String, Vec<usize>>,
}

fn read() -> References {
    serde_json::from_str(include_str!("references.json")).unwrap()
}

/// (t, ᾱ_t) pairs by diffusers' name of the schedule, `.zero_snr` after it where it is rescaled.
pub fn alphas_cumprod() -> BTreeMap<String, Vec<(usize, f64)>> {
    read().alphas_cumprod
}

/// (spacing, timesteps) of schedules with T = 1000.
pub fn timesteps() -> Vec<(String, Vec<usize>)> {
    let spacing = |name: &str| name.split('.').next().unwrap().to_owned();
    read().timesteps.iter().map(|(name, timesteps)| (spacing(name), timesteps.clone())).collect()
}
