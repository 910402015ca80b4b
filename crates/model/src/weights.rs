//! Finds the weights files of a network, and reads their tensors under today's names.

use crate::error::ModelError;
use crate::parameters::Parameters;
use crate::tensors::{read_tensors, tensors_from_bytes};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name of the weights file.
pub const WEIGHTS_FILE: &str = "diffusion_pytorch_model.safetensors";
/// The largest index of weights in several files, in bytes.
const MAX_INDEX_BYTES: u64 = 1 << 22;
/// The largest number of files of one network.
const MAX_SHARDS: usize = 1024;
/// The prefixes that torch's wrappers add to the name of every tensor: `torch.compile`, and training on
/// several devices.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];

/// The weights file to load from a folder of diffusers: the weights, or the index of weights in several
/// files, or either of these for a variant such as fp16 if there is exactly one variant.
///
/// A folder without weights gets the usual name, which reading then reports as missing.
/// Errors: several variants; pickled weights alone.
pub fn find_weights(folder: &Path) -> Result<PathBuf, ModelError> {
    let usual = folder.join(WEIGHTS_FILE);
    let index = usual.with_extension("safetensors.index.json");
    if let Some(found) = [&usual, &index].into_iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let refuse = |reason: String| Err(ModelError::File { path: usual.clone(), reason });
    let variants = variants(folder);
    match variants.as_slice() {
        [one] => Ok(one.clone()),
        [] if usual.with_extension("bin").exists() => refuse(
            "missing, beside pickled weights (.bin), which are never read, since reading them can run any code; \
             save them again in Python with save_pretrained(folder, safe_serialization=True)"
                .into(),
        ),
        [] => Ok(usual),
        several => {
            let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let names: Vec<String> = several.iter().filter_map(name).collect();
            refuse(format!(
                "missing, beside {}; name the file to take with: cargo xtask import FILE --out DIR",
                names.join(" and ")
            ))
        }
    }
}

/// The weights files whose names have one more word, without the parts of weights in several files.
fn variants(folder: &Path) -> Vec<PathBuf> {
    let (stem, _) = WEIGHTS_FILE.split_once('.').unwrap_or((WEIGHTS_FILE, ""));
    let is_variant = |name: &str| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| match rest.strip_prefix("safetensors.index.") {
            Some(rest) => rest.ends_with(".json"),
            None => rest.ends_with(".safetensors") && !is_part(name),
        })
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_variant))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a file with this name is a part of weights in several files, `-00001-of-00011`.
fn is_part(name: &str) -> bool {
    let stem = name.trim_end_matches(".safetensors");
    let mut words = stem.rsplit('-');
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u32>().is_ok());
    number(words.next()) && words.next() == Some("of") && number(words.next())
}

/// The tensors of a file, or of all files that an index (`.json`) lists, under today's names.
pub(crate) fn read(weights: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let tensors = match weights.extension().is_some_and(|extension| extension == "json") {
        true => read_parts(weights, device)?,
        false => {
            let name = weights.file_name().unwrap_or_default().to_string_lossy();
            if is_part(&name) {
                let reason = "one of several files of weights; name their folder instead".into();
                return Err(ModelError::File { path: weights.into(), reason });
            }
            read_tensors(weights, device)?
        }
    };
    of_today(tensors, weights)
}

/// The tensors of a file's bytes, under today's names; `path` is what errors call it.
pub(crate) fn from_bytes(
    bytes: &[u8],
    path: &Path,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let in_file = |error: ModelError| ModelError::File { path: path.into(), reason: error.to_string() };
    of_today(tensors_from_bytes(bytes, device).map_err(in_file)?, path)
}

fn of_today(tensors: BTreeMap<String, Tensor>, path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    renamed(unwrapped(tensors))
        .map_err(|error| ModelError::File { path: path.into(), reason: error.to_string() })
}

#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

fn read_parts(index: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let refuse = |reason: String| ModelError::File { path: index.into(), reason };
    let text = duet_files::read_text(index, MAX_INDEX_BYTES);
    let text = text.map_err(|cause| ModelError::Read { path: index.into(), cause })?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|error| refuse(format!("no list of weights: {error}")))?;
    let files: BTreeSet<&String> = weight_map.values().collect();
    if files.len() > MAX_SHARDS {
        return Err(refuse(format!("names {} files, more than {MAX_SHARDS}", files.len())));
    }
    if let Some(file) = files.iter().find(|file| !is_plain(file)) {
        return Err(refuse(format!("names a file outside its folder: {file}")));
    }
    let mut tensors = BTreeMap::new();
    for file in files {
        let path = index.with_file_name(file);
        for (name, tensor) in read_tensors(&path, device)? {
            if weight_map.get(&name) != Some(file) {
                let reason = format!("it holds {name}, which {} does not say", index.display());
                return Err(ModelError::File { path, reason });
            }
            tensors.insert(name, tensor);
        }
    }
    match weight_map.iter().find(|(name, _)| !tensors.contains_key(*name)) {
        Some((name, file)) => Err(refuse(format!("{name} is not in {file}"))),
        None => Ok(tensors),
    }
}

fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', ':'])
}

/// Removes a wrapper's prefix if every name has it.
fn unwrapped(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let wraps = |tensors: &BTreeMap<String, Tensor>, prefix: &str| {
        tensors.keys().all(|name| name.starts_with(prefix))
    };
    while !tensors.is_empty()
        && let Some(prefix) = WRAPPERS.into_iter().find(|prefix| wraps(&tensors, prefix))
    {
        tensors =
            tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)).collect();
    }
    tensors
}

/// The names of diffusers' attention layers before version 0.15, and their names since.
const OLD_NAMES: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// Gives old attention layers their new names, as diffusers does.
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

/// Moves a row of the class embedding to the end, in the network that shares `parameters`. A network
/// without a class embedding stays as it is. Errors: no such row.
pub fn move_class_row(parameters: &Parameters, row: u32) -> Result<(), ModelError> {
    let Some(table) = parameters.get("class_embedding.weight") else { return Ok(()) };
    let rows = table.dims2()?.0 as u32;
    let order: Vec<u32> = (0..rows).filter(|&other| other != row).chain([row]).collect();
    let moved = table.as_tensor().detach().index_select(&Tensor::new(order, table.device())?, 0)?;
    Ok(table.set(&moved)?)
}
