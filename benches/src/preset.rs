//! The networks and settings that are timed; `torch_unet.py` builds the same ones.

use duet_model::{SampleSize, UNetConfig};
use duet_schedule::{BetaSchedule, Prediction};
use duet_train::{Diffusion, LossWeighting, TrainOptions};

/// Widths of the networks, level by level; one layer a block each.
pub const WIDTHS: [[usize; 3]; 2] = [[16, 32, 64], [32, 64, 64]];
/// Digits, and after them the null label.
pub const CLASS_ROWS: usize = 11;
/// Images in a batch.
pub const BATCH: usize = 64;

/// A network without attention for 28×28 grey images of ten classes.
pub fn unet(widths: [usize; 3]) -> UNetConfig {
    UNetConfig {
        sample_size: Some(SampleSize::Square(28)),
        in_channels: 1,
        out_channels: 1,
        down_block_types: vec!["DownBlock2D".into(); 3],
        up_block_types: vec!["UpBlock2D".into(); 3],
        block_out_channels: widths.to_vec(),
        layers_per_block: 1,
        norm_num_groups: 8,
        add_attention: false,
        num_class_embeds: Some(CLASS_ROWS),
        ..UNetConfig::diffusers_defaults()
    }
}

/// A cosine schedule with v predictions.
pub fn diffusion() -> Diffusion {
    Diffusion {
        timesteps: 1000,
        schedule: BetaSchedule::Cosine,
        zero_terminal_snr: false,
        prediction: Prediction::V,
    }
}

/// Everything that a real training step does: dropout of labels, clipping, AdamW, EMA.
pub fn train_options() -> TrainOptions {
    TrainOptions {
        seed: 0,
        steps: 1000,
        batch: BATCH,
        accumulate: 1,
        learning_rate: 1e-3,
        warmup: 0.05,
        final_learning_rate: 0.0,
        weight_decay: 0.01,
        betas: [0.9, 0.99],
        clip: 1.0,
        label_dropout: 0.1,
        loss_weighting: LossWeighting::Uniform,
        ema_decay: 0.999,
    }
}
