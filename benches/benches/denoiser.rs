//! One forward pass and one training step of the U-Net, in images a second.
use candle_core::{Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duet_benches::preset;
use duet_model::UNet;
use duet_train::{Batch, Trainer};
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements(preset::BATCH as u64));
    for widths in preset::WIDTHS {
        let (unet, _) = UNet::seeded(&preset::unet(widths), 0, &Device::Cpu).expect("a valid network");
        let (batch, t) = inputs().expect("inputs");
        let labels = Tensor::new(batch.labels, &Device::Cpu).expect("labels");
        group.bench_function(format!("{widths:?}"), |bencher| {
            bencher.iter(|| black_box(unet.forward(&batch.images, &t, Some(&labels)).expect("a prediction")));
        });
    }
}

fn training_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training_step");
    group.throughput(Throughput::Elements(preset::BATCH as u64));
    for widths in preset::WIDTHS {
        let options = preset::train_options();
        let mut trainer = Trainer::new(&preset::unet(widths), &preset::diffusion(), &options, &Device::Cpu)
            .expect("a valid trainer");
        let (batch, _) = inputs().expect("inputs");
        let batches = [batch];
        group.bench_function(format!("{widths:?}"), |bencher| {
            bencher.iter(|| trainer.step(&batches).expect("a step"));
        });
    }
}

/// A batch of images (B, 1, 28, 28) with labels, and timesteps (B).
fn inputs() -> Result<(Batch, Tensor)> {
    let digits = duet_data::digits().map_err(candle_core::Error::wrap)?;
    let indices: Vec<usize> = (0..preset::BATCH).collect();
    let batch = Batch::from_dataset(&digits.train, &indices, &Device::Cpu)?;
    let t: Vec<u32> = (0..preset::BATCH as u32).map(|i| i * 15).collect();
    Ok((batch, Tensor::new(t, &Device::Cpu)?))
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(15))
}

criterion_group! { name = benches; config = short(); targets = forward, training_step }
criterion_main!(benches);
