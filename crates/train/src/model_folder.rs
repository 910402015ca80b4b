//! A model folder as diffusers loads it: the network, the scheduler, and the meaning of each row of the
//! class embedding.
//!
//! This file writes and reads Duet's own keys `_duet_*` in the network's configuration.
//! [`DiffusersScheduler`] has those of the scheduler.

use crate::error::TrainError;
use candle_core::Tensor;
use duet_model::{
    CONFIG_FILE, LoadedModel, ModelError, Parameters, UNetConfig, WEIGHTS_FILE, weights_to_bytes,
};
use duet_schedule::{DIFFUSERS_VERSION, DiffusersScheduler};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Keys of a network's configuration that begin with an underscore.
pub type Notes = serde_json::Map<String, Value>;

/// The path of the scheduler's configuration in a model folder.
pub const SCHEDULER_FILE: &str = "scheduler/scheduler_config.json";
/// The largest scheduler file that is read. A table of a million betas fits.
const MAX_SCHEDULER_BYTES: u64 = 1 << 26;
/// Names of the classes.
const CLASSES: &str = "_duet_classes";
/// The row that means no class, or null if there is none.
const NULL_LABEL: &str = "_duet_null_label";

/// The meaning of the rows of the class embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRows {
    /// The names of the classes in the order of their rows, without the null label; empty for a network
    /// without classes.
    pub classes: Vec<String>,
    /// The row that means no class.
    pub null_label: Option<u32>,
    /// Whether the folder names the classes.
    pub has_names: bool,
    /// Whether the folder states the null label, or states that there is none.
    pub has_null_label: bool,
}

impl ClassRows {
    /// Reads the rows from the notes of the network's folder. A null label of `null` means that there is
    /// none. If the folder does not state the null label, there is none if every row has a name; otherwise
    /// it is the last row.
    ///
    /// # Errors
    /// Names or a null label that do not fit the number of rows.
    pub fn read(loaded: &LoadedModel) -> Result<Self, ModelError> {
        let (names, null) = (loaded.notes.get(CLASSES), loaded.notes.get(NULL_LABEL));
        let (has_names, has_null_label) = (names.is_some(), null.is_some());
        let Some(rows) = loaded.unet.config().num_class_embeds else {
            return Ok(Self { classes: Vec::new(), null_label: None, has_names, has_null_label });
        };
        let wrong = |key: &str| {
            let path = loaded.folder.join(CONFIG_FILE);
            ModelError::Input(format!("{}: {key} does not fit num_class_embeds = {rows}", path.display()))
        };
        let null_label = match null {
            Some(Value::Null) => None,
            Some(value) => {
                let row = value.as_u64().filter(|&null| null < rows as u64);
                Some(row.ok_or_else(|| wrong(NULL_LABEL))? as u32)
            }
            None if names.and_then(Value::as_array).map(Vec::len) == Some(rows) => None,
            None => Some(rows as u32 - 1),
        };
        let known = rows - usize::from(null_label.is_some());
        let classes = match names {
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| wrong(CLASSES))?,
            None => (0..known).map(|i| i.to_string()).collect::<Vec<String>>(),
        };
        match classes.len() <= known {
            true => Ok(Self { classes, null_label, has_names, has_null_label }),
            false => Err(wrong(CLASSES)),
        }
    }

    /// Writes the names of the classes into `notes`.
    pub fn write_names(notes: &mut Notes, classes: &[String]) {
        notes.insert(CLASSES.into(), classes.into());
    }

    /// Writes the row that means no class into `notes`, or null if there is none.
    pub fn write_null_label(notes: &mut Notes, row: Option<u32>) {
        notes.insert(NULL_LABEL.into(), row.into());
    }
}

/// Removes the notes of other programs.
pub fn keep_own(notes: &mut Notes) {
    notes.retain(|key, _| key.starts_with("_duet_"));
}

/// Finds the scheduler of a model folder: in the folder; beside it, for a bare `unet` or `unet_ema` folder;
/// or above it, for a checkpoint in the output folder of diffusers' training scripts.
pub fn find_scheduler(folder: &Path) -> Option<FoundScheduler> {
    let is_checkpoint = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoint-"))
    };
    let beside = folder.parent().filter(|_| folder.join(CONFIG_FILE).is_file());
    let above = [Some(folder), beside].into_iter().flatten().find(is_checkpoint).and_then(Path::parent);
    let paths = [Some(folder), beside, above].into_iter().flatten().map(|folder| folder.join(SCHEDULER_FILE));
    let path = paths.chain([folder.join("scheduler_config.json")]).find(|path| path.exists())?;
    let is_above = above.is_some_and(|above| path.parent().and_then(Path::parent) == Some(above));
    Some(FoundScheduler { path, is_above })
}

/// The place of a scheduler's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundScheduler {
    /// The file.
    pub path: PathBuf,
    /// Whether the file belongs to the output folder of a training script, and the model folder is one of
    /// its checkpoints.
    pub is_above: bool,
}

/// Reads a scheduler's configuration. Also returns the ignored keys; they belong to other schedulers, and
/// diffusers ignores them too.
///
/// # Errors
/// A file that cannot be read, or that has a value that is not supported.
pub fn read_scheduler(path: &Path) -> Result<(DiffusersScheduler, Vec<String>), ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    let text = duet_files::read_text(path, MAX_SCHEDULER_BYTES).map_err(read)?;
    let refuse = |error: duet_schedule::ScheduleError| ModelError::File {
        path: path.into(),
        reason: error.to_string(),
    };
    DiffusersScheduler::from_json_with_ignored(&text).map_err(refuse)
}

/// The files of a model folder that diffusers loads, by their paths in it. `notes` are keys of the
/// network's configuration that begin with an underscore. Errors: those of [`UNetConfig::to_json`] and of
/// writing the weights.
pub fn model_files(
    config: &UNetConfig,
    parameters: &Parameters,
    notes: &Notes,
    scheduler: &DiffusersScheduler,
) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    // DDPM's pipeline accepts any scheduler.
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
        (SCHEDULER_FILE.into(), scheduler.to_json().into_bytes()),
    ]))
}

fn tensors(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    // Maps with text keys and plain values always have a JSON form.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
