//! Model folders as diffusers writes them: `config.json` beside the weights.

use crate::tensors::read_tensors;
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
    load_files(&folder.join(CONFIG_FILE), &folder.join(WEIGHTS_FILE), device)
}

/// Loads a network from its two files, wherever they are; attention layers may have the names that
/// diffusers gave them before version 0.15. Errors as [`load_folder`].
pub fn load_files(config: &Path, weights: &Path, device: &Device) -> Result<LoadedModel, ModelError> {
    let in_file = |path: &Path, error: ModelError| match error {
        ModelError::Read { .. } => error,
        error => ModelError::File { path: path.into(), reason: error.to_string() },
    };
    let text = read_config(config)?;
    let folder = config.parent().unwrap_or(Path::new("")).to_path_buf();
    let config = UNetConfig::from_json(&text).map_err(|error| in_file(config, error))?;
    let mut notes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    notes.retain(|key, _| key.starts_with('_'));
    if !weights.exists() {
        check_alternatives(weights)?;
    }
    let tensors = read_tensors(weights, device)?;
    let (unet, parameters) = renamed(tensors)
        .and_then(|tensors| UNet::from_tensors(&config, tensors, device))
        .map_err(|error| in_file(weights, error))?;
    Ok(LoadedModel { unet, parameters, folder, notes })
}

/// What to do about weights that are there in a form that is not read.
fn check_alternatives(weights: &Path) -> Result<(), ModelError> {
    let reason = if weights.with_extension("bin").exists() {
        "missing, beside pickled weights (.bin), which are never read, since reading them can run any code; \
         save them again in Python with save_pretrained(folder, safe_serialization=True)"
    } else if weights.with_extension("safetensors.index.json").exists() {
        "missing, beside weights in several files, which are not read; save them again in Python with \
         save_pretrained(folder, max_shard_size=\"100GB\")"
    } else {
        return Ok(());
    };
    Err(ModelError::File { path: weights.into(), reason: reason.into() })
}

fn read_config(path: &Path) -> Result<String, ModelError> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_CONFIG_BYTES {
        return Err(ModelError::File { path: path.into(), reason: "larger than any configuration".into() });
    }
    std::fs::read_to_string(path).map_err(read)
}

/// What diffusers' attention layers were called before version 0.15, and their names since.
const OLD_NAMES: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// Gives old attention layers their names of today, as diffusers does.
fn renamed(tensors: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let mut named = BTreeMap::new();
    for (name, tensor) in tensors {
        let today = name_of_today(&name).unwrap_or_else(|| name.clone());
        if named.insert(today.clone(), tensor).is_some() {
            return Err(ModelError::Weights(format!(
                "{name} is another name of {today}, which is there too"
            )));
        }
    }
    Ok(named)
}

fn name_of_today(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('.').collect();
    let [.., attentions, _, layer, _] = parts.as_mut_slice() else { return None };
    let (_, today) = OLD_NAMES.iter().find(|(old, _)| *attentions == "attentions" && old == layer)?;
    *layer = today;
    Some(parts.join("."))
}

/// A safetensors file of these tensors, as torch writes it (metadata `{"format": "pt"}`).
///
/// The bytes are a function of the names and values alone.
pub fn weights_to_bytes(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| ModelError::Weights(format!("cannot be written: {error}")))
}
