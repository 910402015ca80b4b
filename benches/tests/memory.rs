//! Neither training nor sampling grows with its steps. (Linux tells a process's memory.)
#![cfg(target_os = "linux")]
use candle_core::{Device, Tensor};
use duet_model::{Purpose, SampleSize, UNet, UNetConfig};
use duet_sample::{Guidance, Labels, SampleError, Sampler, Trajectory};
use duet_schedule::{BetaSchedule, Clip, NoiseSchedule, Prediction, Spacing};
use duet_train::{Batch, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn grew_little(what: &str, before: u64, after: u64) {
    let allowed = (before / 100).max(5 << 20);
    assert!(after <= before + allowed, "{what}: from {before} to {after} bytes");
}

fn network() -> UNetConfig {
    UNetConfig {
        sample_size: Some(SampleSize::Square(8)),
        in_channels: 1,
        out_channels: 1,
        down_block_types: vec!["DownBlock2D".into(), "AttnDownBlock2D".into()],
        up_block_types: vec!["AttnUpBlock2D".into(), "UpBlock2D".into()],
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        num_class_embeds: Some(3),
        ..UNetConfig::diffusers_defaults()
    }
}

/// One test, since all of a process shares its memory.
#[test]
fn memory_is_flat_over_two_thousand_steps_and_a_thousand_of_sampling() {
    let preset = duet_benches::Preset::digits().unwrap();
    let options = duet_train::TrainOptions { batch: 16, steps: 2_000, ..preset.train };
    let mut trainer = Trainer::new(&network(), &preset.diffusion, &options, &Device::Cpu).unwrap();
    let images = Tensor::zeros((16, 1, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let batches = [Batch { images, labels: (0..16).map(|i| i % 2).collect() }];
    let mut before = 0;
    for step in 0..2_000 {
        if step == 100 {
            before = resident();
        }
        trainer.step(&batches).unwrap();
    }
    grew_little("training", before, resident());

    let (unet, _) = UNet::seeded(&network(), 0, &Device::Cpu).unwrap();
    let snapshot = unet.snapshot(Purpose::Prediction).unwrap();
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1_000).unwrap();
    let timesteps = Spacing::Linspace.timesteps(1_000, &schedule).unwrap();
    let ddim = Sampler::ddim(&schedule, &timesteps, Prediction::V, 0.0)
        .unwrap()
        .with_clip(Clip::Static { limit: 1.0 })
        .unwrap();
    let labels = Labels::new(&[0, 1, 0, 1]);
    let seeds = [0, 1, 2, 3];
    let mut trajectory = Trajectory::new(ddim, &seeds, (1, 8, 8), Some(labels), &Device::Cpu).unwrap();
    let guidance = Guidance::new(2.0, Some(2));
    let mut before = 0;
    for step in 0..1_000 {
        if step == 50 {
            before = resident();
        }
        trajectory
            .step(&guidance, |x, t, labels| {
                snapshot.predict(x, t, labels).map_err(|error| SampleError::Denoiser(error.into()))
            })
            .unwrap();
    }
    assert!(trajectory.is_done());
    grew_little("sampling", before, resident());
}
