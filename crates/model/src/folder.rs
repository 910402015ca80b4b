//! Model folders as diffusers writes them: `config.json` beside the weights.

use crate::config::UNetConfig;
use crate::error::ModelError;
use crate::parameters::Parameters;
use crate::unet::UNet;
use crate::weights::{self, WEIGHTS_FILE, find_weights};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Name of the configuration file.
pub const CONFIG_FILE: &str = "config.json";
/// The largest configuration file that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A network from a folder.
#[derive(Debug)]
pub struct LoadedModel {
    /// The network.
    pub unet: UNet,
    /// Its parameters.
    pub parameters: Parameters,
    /// The folder of the two files.
    pub folder: PathBuf,
    /// The configuration's keys that begin with an underscore.
    pub notes: serde_json::Map<String, serde_json::Value>,
}

/// Loads a network from `folder`. The folder holds `config.json` and the weights, or a `unet` folder with
/// both; [`find_weights`] says which weights files are possible.
///
/// Errors: a missing file, a wrong configuration, wrong weights, too little memory. The error names the
/// file, the key or the tensor.
pub fn load_folder(folder: &Path, device: &Device) -> Result<LoadedModel, ModelError> {
    let folder = network_folder(folder);
    load_files(&folder.join(CONFIG_FILE), &find_weights(&folder)?, device)
}

/// The configuration of the network that [`load_folder`] loads.
///
/// Errors: a missing file, a wrong configuration. The error names the file and the key.
pub fn read_folder_config(folder: &Path) -> Result<UNetConfig, ModelError> {
    let path = network_folder(folder).join(CONFIG_FILE);
    UNetConfig::from_json(&read_config(&path)?).map_err(|error| in_file(&path, error))
}

fn network_folder(folder: &Path) -> PathBuf {
    let inner = folder.join("unet");
    if inner.is_dir() { inner } else { folder.to_path_buf() }
}

fn in_file(path: &Path, error: ModelError) -> ModelError {
    match error {
        ModelError::Read { .. } => error,
        error => ModelError::File { path: path.into(), reason: error.to_string() },
    }
}

/// Loads a network from a configuration file and a weights file.
///
/// For weights in several files, `weights_path` is their index. Attention layers may have their names from
/// before diffusers 0.15, and all tensors may have the prefix `_orig_mod.` or `module.`.
/// Errors as [`load_folder`].
pub fn load_files(path: &Path, weights_path: &Path, device: &Device) -> Result<LoadedModel, ModelError> {
    assembled(&read_config(path)?, (path, weights_path), device, || weights::read(weights_path, device))
}

/// As [`load_folder`], from the text of a configuration and the bytes of a weights file. `folder` is what errors call
/// their place; nothing is read there.
///
/// Errors as [`load_folder`].
pub fn load_bytes(
    config: &str,
    weights: &[u8],
    folder: &Path,
    device: &Device,
) -> Result<LoadedModel, ModelError> {
    let places = (folder.join(CONFIG_FILE), folder.join(WEIGHTS_FILE));
    assembled(config, (&places.0, &places.1), device, || weights::from_bytes(weights, &places.1, device))
}

/// A network of a configuration, and of tensors that are read when the configuration is known to be right.
fn assembled(
    text: &str,
    (path, weights_path): (&Path, &Path),
    device: &Device,
    tensors: impl FnOnce() -> Result<BTreeMap<String, Tensor>, ModelError>,
) -> Result<LoadedModel, ModelError> {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let config = UNetConfig::from_json(text).map_err(|error| in_file(path, error))?;
    let mut notes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
    notes.retain(|key, _| key.starts_with('_'));
    config.check_memory(1).map_err(|error| in_file(path, error))?;
    if let Some((height, width)) = config.sample_size.map(|size| size.sides()) {
        config.check_pass(height, width).map_err(|error| in_file(path, error))?;
    }
    let (unet, parameters) =
        UNet::from_tensors(&config, tensors()?, device).map_err(|error| in_file(weights_path, error))?;
    Ok(LoadedModel { unet, parameters, folder, notes })
}

fn read_config(path: &Path) -> Result<String, ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    duet_files::read_text(path, MAX_CONFIG_BYTES).map_err(read)
}

/// A safetensors file of these tensors, as torch writes it (metadata `{"format": "pt"}`).
///
/// The bytes are a function of the names and values alone.
pub fn weights_to_bytes(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| ModelError::Weights(format!("cannot be written: {error}")))
}
