//! A run of format version 2, kept for good: later programs verify it, resume it and sample it.
//!
//! `golden/` is `duet train --config` with block_out_channels = [4], norm_num_groups = 2 and 20 steps of 8
//! digits, without its log and pictures.
use crate::support::{copy, files, heard};
use candle_core::{Device, Tensor};
use duet_diffusion::{Resume, Session, tensorboard, verify};
use duet_kernels::{InstructionSet, with_instruction_set};
use duet_model::Purpose;
use duet_sample::{Guidance, Labels, SampleError, Sampler, Trajectory};
use duet_schedule::DiffusersScheduler;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diffusion/golden")
}

/// Of the picture of eight digits, as bytes: rounding that differs between machines is not in them.
const PICTURE: &str = "939758f27d9e0442ea523df24e5f4f174c422369fe470f2a4ce5d17f18adfe15";

#[test]
fn a_golden_checkpoint_loads_and_draws_the_same_picture() {
    let folder = golden().join("checkpoints/step-000020");
    let model = duet_model::load_folder(&folder, &Device::Cpu).unwrap();
    let scheduler = std::fs::read_to_string(folder.join("scheduler/scheduler_config.json")).unwrap();
    let scheduler = DiffusersScheduler::from_json(&scheduler).unwrap();
    let draw = || {
        let steps = scheduler.steps(4).unwrap();
        let sampler =
            Sampler::new(steps, scheduler.prediction().unwrap(), scheduler.solver().unwrap()).unwrap();
        let labels = Labels::new(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let seeds = [0, 1, 2, 3, 4, 5, 6, 7];
        let mut trajectory = Trajectory::new(
            sampler.with_clip(scheduler.clip()).unwrap(),
            &seeds,
            (1, 28, 28),
            Some(labels),
            &Device::Cpu,
        )
        .unwrap();
        let snapshot = model.unet.snapshot(Purpose::Prediction).unwrap();
        let guidance = Guidance::new(2.0, Some(10));
        let denoise = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| {
            snapshot.predict(x, t, labels).map_err(|error| SampleError::Denoiser(error.into()))
        };
        while !trajectory.is_done() {
            trajectory.step(&guidance, denoise).unwrap();
        }
        trajectory.x().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    // The same instructions on every machine, on the thread that makes the choice.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let values = pool.install(|| with_instruction_set(InstructionSet::Portable, draw));
    let bytes: Vec<u8> = values.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect();
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), PICTURE);
}

#[test]
fn a_golden_run_verifies_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(&golden(), &run);
    let mut seen = 0;
    verify(&run, |name, found| {
        found.unwrap_or_else(|error| panic!("{}: {}", name.display(), error.chain()));
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 3, "a checkpoint, its configuration and its metrics");
    let resumed = || Session::resume(run.to_str().unwrap(), &Resume::default(), Device::Cpu).unwrap();
    let (session, text) = heard(resumed);
    assert!(text.contains("goes on after step 20 of 20"), "{text}");
    assert!(session.is_done());
    session.finish().unwrap();
    let events = tensorboard::read(&run.join("events.out.tfevents.0.duet")).unwrap();
    let steps: Vec<u64> = events.iter().map(|event| event.step).collect();
    assert_eq!(steps, [0].into_iter().chain(0..=20).collect::<Vec<_>>(), "a run without events gets them");
    let size: usize = files(&golden()).values().map(Vec::len).sum();
    assert!(size < 200_000, "{size} bytes in the repository");
}
