//! What the tests of training share: tiny networks, options, a data set, a trainer's whole state.
use candle_core::Device;
use duet_data::{Dataset, Shape};
use duet_model::UNetConfig;
use duet_schedule::{BetaSchedule, Prediction, Spacing};
use duet_train::{
    Diffusion, Flip, LossWeighting, Optimizer, TimestepSampling, TrainOptions, Trainer, checkpoint,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Two classes and the null label, grey images with sides that are multiples of 2.
pub fn network(attention: bool) -> UNetConfig {
    let blocks = |names: [&str; 2]| names.map(String::from).to_vec();
    let (down, up) = match attention {
        true => (["DownBlock2D", "AttnDownBlock2D"], ["AttnUpBlock2D", "UpBlock2D"]),
        false => (["DownBlock2D", "DownBlock2D"], ["UpBlock2D", "UpBlock2D"]),
    };
    UNetConfig {
        in_channels: 1,
        out_channels: 1,
        down_block_types: blocks(down),
        up_block_types: blocks(up),
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        add_attention: attention,
        num_class_embeds: Some(3),
        ..UNetConfig::diffusers_defaults()
    }
}

pub fn diffusion(prediction: Prediction) -> Diffusion {
    Diffusion {
        timesteps: 1000,
        schedule: BetaSchedule::Linear,
        beta_start: None,
        beta_end: None,
        snr_scale: None,
        zero_terminal_snr: false,
        prediction,
    }
}

/// Everything is on: accumulation, warm-up, decay, clipping, label dropout, weighting.
pub fn options() -> TrainOptions {
    TrainOptions {
        seed: 7,
        steps: 12,
        batch: 3,
        accumulate: 2,
        optimizer: Optimizer::Muon,
        learning_rate: 1e-2,
        warmup: 0.25,
        final_learning_rate: 0.1,
        weight_decay: 0.01,
        betas: [0.9, 0.99],
        clip: 1.0,
        label_dropout: 0.3,
        loss_weighting: LossWeighting::MinSnr,
        timestep_sampling: TimestepSampling::Uniform,
        ema_decay: 0.99,
        ema_snapshots: 5,
        balance: false,
        flip: Flip::Off,
        augment: 0.0,
        freeze: Vec::new(),
    }
}

/// `images` images of 8×8 pixels, no two of the first 40 alike: class 0 is bright on the left,
/// class 1 on the right.
pub fn two_sides(images: usize) -> Dataset {
    let pixel = |image: usize, i: usize| {
        let bright = (i % 8 < 4) == image.is_multiple_of(2);
        (if bright { 230 - i } else { i } + image / 2 % 20) as u8
    };
    let pixels = (0..images).flat_map(|image| (0..64).map(move |i| pixel(image, i))).collect();
    let labels = (0..images as u32).map(|image| image % 2).collect();
    Dataset::new(Shape { channels: 1, height: 8, width: 8 }, pixels, labels, classes()).unwrap()
}

pub fn classes() -> [String; 2] {
    ["left", "right"].map(String::from)
}

pub fn trainer(options: &TrainOptions) -> Trainer {
    Trainer::new(&network(false), &diffusion(Prediction::V), options, &Device::Cpu).unwrap()
}

pub fn save(trainer: &Trainer, parent: &Path) -> PathBuf {
    let labels =
        checkpoint::Annotations { classes: &classes(), config: "seed = 7\n", spacing: &Spacing::Trailing };
    checkpoint::save(trainer, labels, parent).unwrap()
}

/// Every file under a folder by its path within it.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|(inner, b)| (format!("{name}/{inner}"), b))),
            false => found.extend([(name, std::fs::read(&path).unwrap())]),
        }
    }
    found
}

/// Weights, moving average, moments and counters, as the bytes of a checkpoint.
pub fn saved(trainer: &Trainer) -> BTreeMap<String, Vec<u8>> {
    let parent = tempfile::tempdir().unwrap();
    files(&save(trainer, parent.path()))
}
