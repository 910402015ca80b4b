//! A model folder, as diffusers loads it: network, scheduler, and which row of the class embedding is which.
//!
//! What of a folder is Duet's own, the `_duet_*` keys of the network's configuration, is written and read
//! here; the scheduler's own keys are in [`DiffusersScheduler`].

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

/// Where a scheduler's configuration is in a model folder.
pub const SCHEDULER_FILE: &str = "scheduler/scheduler_config.json";
/// A table of a million betas fits.
const MAX_SCHEDULER_BYTES: u64 = 1 << 26;
/// Names of the classes.
const CLASSES: &str = "_duet_classes";
/// The row that stands for no class, or null for none.
const NULL_LABEL: &str = "_duet_null_label";

/// Which row of the class embedding stands for which class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRows {
    /// Names of the classes in the order of their rows, the null label's left out; empty without classes.
    pub classes: Vec<String>,
    /// The row that stands for no class.
    pub null_label: Option<u32>,
    /// Whether the folder names the classes.
    pub has_names: bool,
    /// Whether the folder says which row the null label is, or that there is none.
    pub has_null_label: bool,
}

impl ClassRows {
    /// As the network's folder notes it (a null label of `null` is none). Where it notes none, there is none
    /// if every row has a name, and else the last row is taken.
    ///
    /// # Errors
    /// Where names or null label do not fit the number of rows.
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

    /// Notes the names of the classes.
    pub fn write_names(notes: &mut Notes, classes: &[String]) {
        notes.insert(CLASSES.into(), classes.into());
    }

    /// Notes the row that stands for no class, or that there is none.
    pub fn write_null_label(notes: &mut Notes, row: Option<u32>) {
        notes.insert(NULL_LABEL.into(), row.into());
    }
}

/// Takes the notes out that another program left.
pub fn keep_own(notes: &mut Notes) {
    notes.retain(|key, _| key.starts_with("_duet_"));
}

/// Where the scheduler of a model folder is: within it; beside it, of a bare `unet` or `unet_ema`
/// folder; above it, of a checkpoint that diffusers' training scripts leave in their output folder.
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

/// Where a scheduler's configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundScheduler {
    /// The file.
    pub path: PathBuf,
    /// Whether it is that of the output folder of a training script, of which the model folder is a checkpoint.
    pub is_above: bool,
}

/// Reads a scheduler's configuration, with the keys that are passed over, as diffusers does: those of another
/// scheduler.
///
/// # Errors
/// Where it cannot be read, or has a value that is not supported.
pub fn read_scheduler(path: &Path) -> Result<(DiffusersScheduler, Vec<String>), ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    let text = duet_files::read_text(path, MAX_SCHEDULER_BYTES).map_err(read)?;
    let refuse = |error: duet_schedule::ScheduleError| ModelError::File {
        path: path.into(),
        reason: error.to_string(),
    };
    DiffusersScheduler::from_json_with_ignored(&text).map_err(refuse)
}

/// The files of a model folder that diffusers loads, by their paths within it. `notes` are keys of
/// the network's configuration that begin with an underscore.
pub fn model_files(
    config: &UNetConfig,
    parameters: &Parameters,
    notes: &Notes,
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
