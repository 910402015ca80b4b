//! One forward pass and one training step of the U-Net, in images a second.
use candle_core::{Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duet_benches::Preset;
use duet_model::{Purpose, UNet};
use duet_train::{Batch, Optimizer, TrainOptions, Trainer};
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn forward(criterion: &mut Criterion) {
    let preset = Preset::digits().expect("a valid preset");
    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements(preset.train.batch as u64));
    let (batch, t) = inputs(preset.train.batch).expect("inputs");
    let labels = Tensor::new(batch.labels, &Device::Cpu).expect("labels");
    let original = Preset::original().expect("a valid preset").network();
    for (widths, config) in preset.unets().into_iter().chain([("original".into(), original)]) {
        let (unet, _) = UNet::seeded(&config, 0, &Device::Cpu).expect("a valid network");
        let snapshot = unet.snapshot(Purpose::Prediction).expect("a snapshot");
        group.bench_function(widths, |bencher| {
            bencher.iter(|| {
                black_box(snapshot.predict(&batch.images, &t, Some(&labels)).expect("a prediction"))
            });
        });
    }
}

fn training_step(criterion: &mut Criterion) {
    let preset = Preset::digits().expect("a valid preset");
    let mut group = criterion.benchmark_group("training_step");
    group.throughput(Throughput::Elements(preset.train.batch as u64));
    let batches = [inputs(preset.train.batch).expect("inputs").0];
    for (widths, config) in preset.unets() {
        for optimizer in [Optimizer::Muon, Optimizer::AdamW] {
            let train = TrainOptions { optimizer, ..preset.train.clone() };
            let mut trainer =
                Trainer::new(&config, &preset.diffusion, &train, &Device::Cpu).expect("a valid trainer");
            group.bench_function(format!("{optimizer:?} {widths}"), |bencher| {
                bencher.iter(|| trainer.step(&batches).expect("a step"));
            });
        }
    }
    let original = Preset::original().expect("a valid preset");
    let batches = [inputs(original.train.batch).expect("inputs").0];
    let mut trainer = Trainer::new(&original.network(), &original.diffusion, &original.train, &Device::Cpu)
        .expect("a valid trainer");
    group.bench_function("original", |bencher| {
        bencher.iter(|| trainer.step(&batches).expect("a step"));
    });
}

/// `n` images (n, 1, 28, 28) with their labels, and timesteps (n).
fn inputs(n: usize) -> Result<(Batch, Tensor)> {
    let digits = duet_data::digits().map_err(candle_core::Error::wrap)?;
    let batch = Batch::from_dataset(&digits.train, &Vec::from_iter(0..n), &Device::Cpu)?;
    let t: Vec<u32> = (0..n as u32).map(|i| i * 15 % 1000).collect();
    Ok((batch, Tensor::new(t, &Device::Cpu)?))
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(10))
}

criterion_group! { name = benches; config = short(); targets = forward, training_step }
criterion_main!(benches);
