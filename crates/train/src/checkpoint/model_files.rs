//! The part of a checkpoint that diffusers loads: a model folder.

use crate::error::TrainError;
use crate::trainer::Trainer;
use candle_core::Tensor;
use duet_model::{CONFIG_FILE, Parameters, UNetConfig, WEIGHTS_FILE, weights_to_bytes};
use duet_schedule::{DIFFUSERS_VERSION, DiffusersScheduler, Spacing};
use std::collections::BTreeMap;

/// The notes that a checkpoint's network carries: names of the classes, and the null label, which is
/// none where no label was ever dropped: its row is as it was drawn, and says nothing.
pub fn notes(trainer: &Trainer, classes: &[String]) -> serde_json::Map<String, serde_json::Value> {
    let mut notes = serde_json::Map::new();
    notes.insert("_duet_classes".into(), classes.into());
    if let Some(rows) = trainer.unet.config().num_class_embeds {
        let learned = trainer.options.label_dropout > 0.0;
        notes.insert("_duet_null_label".into(), learned.then_some(rows - 1).into());
    }
    notes
}

/// The scheduler of a checkpoint: the training's own noise levels, and the spacing to visit them in.
pub fn scheduler(trainer: &Trainer, spacing: &Spacing) -> Result<DiffusersScheduler, TrainError> {
    let diffusion = &trainer.diffusion;
    let scheduler = DiffusersScheduler::new(
        &diffusion.schedule,
        diffusion.zero_terminal_snr,
        diffusion.timesteps,
        diffusion.prediction,
    )?;
    let scheduler = match diffusion.beta_range()? {
        Some((start, end)) => scheduler.with_beta_range(start, end)?,
        None => scheduler,
    };
    Ok(scheduler.with_spacing(spacing)?)
}

/// The files of a model folder that diffusers loads, by their paths within it. `notes` are keys of
/// the network's configuration that begin with an underscore.
pub fn model_files(
    config: &UNetConfig,
    parameters: &Parameters,
    notes: &serde_json::Map<String, serde_json::Value>,
    scheduler: &DiffusersScheduler,
) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    // The pipeline that takes any scheduler is DDPM's.
    let pipeline = match scheduler.class_name() {
        "DDIMScheduler" => "DDIMPipeline",
        _ => "DDPMPipeline",
    };
    let index = serde_json::json!({
        "_class_name": pipeline,
        "_diffusers_version": DIFFUSERS_VERSION,
        "scheduler": ["diffusers", scheduler.class_name()],
        "unet": ["diffusers", "UNet2DModel"],
    });
    Ok(BTreeMap::from([
        ("model_index.json".into(), json(&index).into_bytes()),
        (format!("unet/{CONFIG_FILE}"), config.to_json(notes)?.into_bytes()),
        (format!("unet/{WEIGHTS_FILE}"), weights_to_bytes(&tensors(parameters))?),
        ("scheduler/scheduler_config.json".into(), scheduler.to_json().into_bytes()),
    ]))
}

fn tensors(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    // Maps with text keys and plain values always have a JSON form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
