//! Model folders as diffusers writes them: `config.json` beside the weights.

use crate::{ModelError, Parameters, UNet, UNetConfig};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Name of the configuration file.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights file.
pub const WEIGHTS_FILE: &str = "diffusion_pytorch_model.safetensors";
/// A larger configuration is no configuration.
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

/// Loads a network from `folder`, which holds `config.json` and the weights, or a `unet` folder
/// with them. Errors name the file, the key or the tensor.
pub fn load_folder(folder: &Path, device: &Device) -> Result<LoadedModel, ModelError> {
    let inner = folder.join("unet");
    let folder = if inner.is_dir() { inner } else { folder.to_path_buf() };
    let path = folder.join(CONFIG_FILE);
    let in_file = |path: &Path, error: ModelError| match error {
        ModelError::Read { .. } => error,
        error => ModelError::File { path: path.into(), reason: error.to_string() },
    };
    let text = read_config(&path)?;
    let config = UNetConfig::from_json(&text).map_err(|error| in_file(&path, error))?;
    let mut notes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    notes.retain(|key, _| key.starts_with('_'));
    let path = folder.join(WEIGHTS_FILE);
    let tensors = read_tensors(&path, device)?;
    let (unet, parameters) =
        UNet::from_tensors(&config, tensors, device).map_err(|error| in_file(&path, error))?;
    Ok(LoadedModel { unet, parameters, folder, notes })
}

fn read_config(path: &Path) -> Result<String, ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_CONFIG_BYTES {
        return Err(ModelError::File { path: path.into(), reason: "larger than any configuration".into() });
    }
    std::fs::read_to_string(path).map_err(read)
}

fn read_tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let bytes = std::fs::read(path).map_err(|cause| ModelError::Read { path: path.into(), cause })?;
    let broken = |error: &dyn std::fmt::Display| ModelError::File {
        path: path.into(),
        reason: format!("not a safetensors file: {error}"),
    };
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|error| broken(&error))?;
    file.iter()
        .map(|(name, view)| {
            use candle_core::safetensors::Load;
            Ok((name.to_string(), view.load(device).map_err(|error| broken(&error))?))
        })
        .collect()
}

/// A safetensors file of these tensors, as torch writes it (metadata `{"format": "pt"}`).
///
/// The bytes are a function of the names and values alone.
pub fn weights_to_bytes(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| ModelError::Weights(format!("cannot be written: {error}")))
}
