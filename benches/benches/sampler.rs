//! Guided DDIM, in images · steps a second; a step of an image is two evaluations of the network, or
//! one where the interval leaves guidance out.
use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duet_benches::{Preset, preset::CLASS_ROWS};
use duet_diffusion::Sampling;
use duet_model::{Purpose, Snapshot, UNet};
use duet_sample::{Guidance, Labels, NoiseInterval, Sampler};
use duet_schedule::{Clip, Spacing};
use duet_train::Diffusion;
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IMAGES: usize = 16;
const STEPS: usize = 5;
/// In the benchmark of the interval.
const INTERVAL_STEPS: usize = 25;
const NULL_LABEL: u32 = CLASS_ROWS as u32 - 1;

fn guided_ddim(criterion: &mut Criterion) {
    let preset = Preset::digits().expect("a valid preset");
    let mut group = criterion.benchmark_group("guided_ddim");
    group.throughput(Throughput::Elements((IMAGES * STEPS) as u64));
    let original = Preset::original().expect("a valid preset");
    let timed = preset.unets().map(|(name, config)| (name, config, &preset.diffusion));
    let timed = timed.into_iter().chain([("original".into(), original.network(), &original.diffusion)]);
    for (name, config, diffusion) in timed {
        let (unet, _) = UNet::seeded(&config, 0, &Device::Cpu).expect("a valid network");
        let snapshot = unet.snapshot(Purpose::Prediction).expect("a snapshot");
        group.bench_function(name, |bencher| {
            let sample =
                || sample((&unet, &snapshot), diffusion, STEPS, NoiseInterval::default()).expect("samples");
            bencher.iter(|| black_box(sample()));
        });
    }
}

/// What it saves not to ask for the null prediction outside an interval of σ: 25 steps, of which all,
/// 13 and 10 are guided.
fn guidance_interval(criterion: &mut Criterion) {
    let preset = Preset::digits().expect("a valid preset");
    let mut group = criterion.benchmark_group("guidance_interval");
    group.throughput(Throughput::Elements((IMAGES * INTERVAL_STEPS) as u64));
    let (_, config) = preset.unets().into_iter().next().expect("the preset's network");
    let (unet, _) = UNet::seeded(&config, 0, &Device::Cpu).expect("a valid network");
    let snapshot = unet.snapshot(Purpose::Prediction).expect("a snapshot");
    for (name, low, high) in
        [("everywhere", 0.0, f64::INFINITY), ("1:inf", 1.0, f64::INFINITY), ("1:6", 1.0, 6.0)]
    {
        let interval = NoiseInterval::new(low, high).expect("an interval");
        group.bench_function(name, |bencher| {
            let sample =
                || sample((&unet, &snapshot), &preset.diffusion, INTERVAL_STEPS, interval).expect("samples");
            bencher.iter(|| black_box(sample()));
        });
    }
}

/// One image for each of [`IMAGES`] seeds, (n, 1, 28, 28).
fn sample(
    (unet, snapshot): (&UNet, &Snapshot),
    diffusion: &Diffusion,
    steps: usize,
    interval: NoiseInterval,
) -> duet_diffusion::Result<Tensor> {
    let schedule = diffusion.noise_schedule()?;
    let timesteps = Spacing::Trailing.timesteps(steps, &schedule)?;
    let ddim = Sampler::ddim(&schedule, &timesteps, diffusion.prediction, 0.0)?
        .with_clip(Clip::Static { limit: 1.0 })?;
    let seeds: Vec<u64> = (0..IMAGES as u64).collect();
    let labels: Vec<u32> = (0..IMAGES as u32).map(|i| i % 10).collect();
    let guidance = Guidance::new(2.0, Some(NULL_LABEL)).with_interval(interval);
    let begins = (Some(Labels::new(&labels)), seeds);
    let sampling = Sampling::new(unet, ddim, guidance, begins, (1, 28, 28));
    Ok(sampling.draw_with(snapshot, None, |_| Ok(()))?.images)
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(10))
}

criterion_group! { name = benches; config = short(); targets = guided_ddim, guidance_interval }
criterion_main!(benches);
