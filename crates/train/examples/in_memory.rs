//! Trains a tiny network on tensors made in memory: class 0 is bright on the left, 1 on the right.
//!
//! cargo run --release -p duet-train --example in_memory
use candle_core::{Device, Tensor};
use duet_model::{UNet, UNetConfig};
use duet_schedule::{BetaSchedule, Prediction};
use duet_train::{
    Batch, Diffusion, Flip, LossWeighting, Optimizer, TimestepSampling, TrainError, TrainOptions, Trainer,
};

const CLASSES: u32 = 2;
const SIDE: usize = 8;

fn main() -> Result<(), TrainError> {
    let device = Device::Cpu;
    let mut trainer = Trainer::new(&network(), &diffusion(), &options(), &device)?;
    println!("{} parameters", trainer.parameters().count());
    // The loop belongs to this program: it is the place for logs, previews and checkpoints.
    while trainer.steps() < trainer.options().steps {
        let images = trainer.images_seen()..trainer.images_seen() + trainer.options().batch as u64;
        let report = trainer.step(&[batch(images, &device)?])?;
        if report.step % 25 == 0 || report.step == 1 {
            println!("step {:3}  loss {:.4}  gradient {:.3}", report.step, report.loss, report.grad_norm);
        }
    }
    // With x_0-prediction, the network's answer to grey is its idea of the class.
    for class in 0..CLASSES {
        let [left, right] = halves(trainer.ema_unet(), class)?;
        println!("class {class}: left {left:+.2}, right {right:+.2}");
    }
    Ok(())
}

fn network() -> UNetConfig {
    UNetConfig {
        in_channels: 1,
        out_channels: 1,
        block_out_channels: vec![16, 32],
        down_block_types: vec!["DownBlock2D".into(), "DownBlock2D".into()],
        up_block_types: vec!["UpBlock2D".into(), "UpBlock2D".into()],
        layers_per_block: 1,
        norm_num_groups: 4,
        add_attention: false,
        // One row more than there are classes: the null label.
        num_class_embeds: Some(CLASSES as usize + 1),
        ..UNetConfig::diffusers_defaults()
    }
}

fn diffusion() -> Diffusion {
    Diffusion {
        timesteps: 1000,
        schedule: BetaSchedule::Cosine,
        beta_start: None,
        beta_end: None,
        snr_scale: None,
        zero_terminal_snr: true,
        prediction: Prediction::X0,
    }
}

fn options() -> TrainOptions {
    TrainOptions {
        seed: 0,
        steps: 150,
        batch: 16,
        accumulate: 1,
        optimizer: Optimizer::Muon,
        learning_rate: 3e-3,
        warmup: 0.1,
        final_learning_rate: 0.0,
        weight_decay: 0.0,
        betas: [0.9, 0.99],
        clip: 1.0,
        label_dropout: 0.1,
        loss_weighting: LossWeighting::Uniform,
        timestep_sampling: TimestepSampling::Uniform,
        ema_decay: 0.95,
        ema_snapshots: 0,
        balance: false,
        flip: Flip::Off,
        augment: 0.0,
        freeze: Vec::new(),
    }
}

/// The images with these numbers. Each has a brightness of its own.
fn batch(numbers: std::ops::Range<u64>, device: &Device) -> candle_core::Result<Batch> {
    let labels: Vec<u32> = numbers.clone().map(|number| (number % u64::from(CLASSES)) as u32).collect();
    let mut values = Vec::new();
    for (number, &label) in numbers.zip(&labels) {
        let brightness = 0.6 + 0.04 * (number % 11) as f32;
        for i in 0..SIDE * SIDE {
            let is_right = i % SIDE >= SIDE / 2;
            values.push(if is_right == (label == 1) { brightness } else { -brightness });
        }
    }
    Ok(Batch { images: Tensor::from_vec(values, (labels.len(), 1, SIDE, SIDE), device)?, labels })
}

/// Mean brightness of both halves of the network's prediction from grey at the last timestep.
fn halves(unet: &UNet, class: u32) -> Result<[f32; 2], TrainError> {
    let device = Device::Cpu;
    let grey = Tensor::zeros((1, 1, SIDE, SIDE), candle_core::DType::F32, &device)?;
    let last = diffusion().timesteps as u32 - 1;
    let (t, label) = (Tensor::new(&[last], &device)?, Tensor::new(&[class], &device)?);
    let image = unet.forward(&grey, &t, Some(&label))?;
    let half = |start: usize| image.narrow(3, start, SIDE / 2)?.mean_all()?.to_scalar::<f32>();
    Ok([half(0)?, half(SIDE / 2)?])
}
