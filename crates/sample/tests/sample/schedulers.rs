//! Compares every supported scheduler with diffusers' trajectories.
//!
//! `references/schedulers.safetensors` is made by `benches/make_references.py` with torch 2.15 and
//! diffusers 0.42: drawn configurations of its three schedulers on the stand-in network
//! prediction(x) = 0.3 x + 0.1, as it saved them, with the noise that the steps were given.
use candle_core::{Device, Tensor};
use duet_sample::{Estimate, Sampler};
use duet_schedule::{Ddim, DiffusersScheduler, Solver};
use std::path::Path;

fn max_abs(t: &Tensor) -> f64 {
    f64::from(t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap())
}

/// The largest error of a trajectory's states, relative to each state's largest magnitude (at least
/// 1), or what is wrong.
fn error(
    case: &serde_json::Value,
    states: &Tensor,
    noises: &Tensor,
    timesteps: &[i64],
) -> Result<f64, String> {
    let text = case["config"].as_str().unwrap();
    let scheduler = DiffusersScheduler::from_json(text).map_err(|error| error.to_string())?;
    let steps =
        scheduler.steps(case["steps"].as_u64().unwrap() as usize).map_err(|error| error.to_string())?;
    // diffusers cuts off the fractions of some timesteps; nearest is nearer to the noise.
    let told = ["\"use_exponential_sigmas\": true", "squaredcos_cap_v2"];
    let cuts = told.iter().any(|what| text.contains(what)) && text.contains("DPMSolver");
    let off = |(&t, &expected): (&usize, &i64)| (t as i64 - expected).abs() > i64::from(cuts);
    if steps.len() != timesteps.len() || steps.timesteps().iter().zip(timesteps).any(off) {
        return Err(format!("timesteps {:?}, expected {timesteps:?}", steps.timesteps()));
    }
    let solver = match scheduler.solver().unwrap() {
        Solver::Ddim(_) => Solver::Ddim(Ddim { eta: case["eta"].as_f64().unwrap() }),
        solver => solver,
    };
    let sampler = Sampler::new(steps, scheduler.prediction().unwrap(), solver).unwrap();
    let sampler = sampler.with_clip(scheduler.clip()).unwrap();
    let mut x = states.get(0).unwrap();
    let mut estimates: Vec<Estimate> = Vec::new();
    let mut worst = 0f64;
    for i in 0..sampler.steps().len() {
        estimates.push(sampler.estimate(i, &x, &x.affine(0.3, 0.1).unwrap()).unwrap());
        x = sampler.step(i, &x, &estimates, Some(&noises.get(i).unwrap())).unwrap();
        let expected = states.get(i + 1).unwrap();
        worst = worst.max(max_abs(&(&x - &expected).unwrap()) / max_abs(&expected).max(1.0));
    }
    Ok(worst)
}

/// At most a `share` of the cases may be off by more than 1e-5.
fn reproduces(path: &Path, share: f64) {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert!(cases.len() >= 80);
    let mut failed = Vec::new();
    for case in &cases {
        let tensor = |what: &str| &tensors[&format!("{what}.{}", case["name"].as_str().unwrap())];
        let timesteps = tensor("timesteps").to_vec1::<i64>().unwrap();
        match error(case, tensor("x"), tensor("noise"), &timesteps) {
            Ok(error) if error <= 1e-5 => {}
            result => failed.push(format!("{result:?}: {case}")),
        }
    }
    let count = failed.len();
    assert!(count as f64 <= share * cases.len() as f64, "{count} of {}:\n{}", cases.len(), failed.join("\n"));
}

/// Cases from elsewhere, such as those of `make_references.py OUT schedulers` with other seeds.
#[test]
fn every_trajectory_in_the_named_file_is_reproduced() {
    match std::env::var_os("DUET_SCHEDULERS") {
        // diffusers steps in f32, whose precision is too low for some steps from almost pure noise.
        Some(path) => reproduces(Path::new(&path), 0.01),
        None => println!("skipped: DUET_SCHEDULERS names no file of more cases"),
    }
}

#[test]
fn every_trajectory_of_diffusers_is_reproduced() {
    reproduces(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/schedulers.safetensors"), 0.0);
}
