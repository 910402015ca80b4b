//! A classifier's weights as a safetensors file. Reading does not trust the file; writing is whole or not
//! at all.

use crate::classifier_error::ClassifierError;
use crate::network::{Architecture, Layout, PLAIN_NAME};
use candle_core::{Device, Tensor};
use duet_data::Shape;
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// The only key of the metadata: the images' shape, such as 1x28x28. All else follows from the tensors.
const IMAGE: &str = "image";
/// The only key of the metadata in a file for [`Classifier::load_for`](crate::Classifier::load_for): the
/// shape, the key of the training, and the hash of all content. It is a single key, because the order of
/// several would differ from file to file.
const JUDGE: &str = "judge";
/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a file of at most [`MAX_BYTES`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ClassifierError> {
    let failed = |cause| ClassifierError::Read { path: path.into(), cause };
    duet_files::read(path, MAX_BYTES).map_err(failed)
}

/// Writes the whole file, or leaves the old one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ClassifierError> {
    let failed = |cause| ClassifierError::Write { path: path.into(), cause };
    duet_files::write_whole(path, |file| file.write_all(bytes)).map_err(failed)
}

/// The bytes of the file. With a key of the training, the file holds this key and a hash of its content.
pub(crate) fn to_bytes(
    layout: &Layout,
    parameters: &BTreeMap<String, Tensor>,
    key: Option<&str>,
) -> Result<Vec<u8>, ClassifierError> {
    let mut halves = Vec::with_capacity(parameters.len());
    for (name, tensor) in parameters {
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        let bytes: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        halves.push((name, tensor.dims().to_vec(), bytes));
    }
    let failed = |error: safetensors::SafeTensorError| ClassifierError::Weights(error.to_string());
    let views = halves.iter().map(|(name, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes).map_err(failed)?))
    });
    let views = views.collect::<Result<Vec<_>, ClassifierError>>()?;
    let metadata = match key {
        None => (IMAGE.to_string(), layout.shape.to_string()),
        Some(key) => {
            let tensors =
                halves.iter().map(|(name, shape, bytes)| (name.as_str(), shape.as_slice(), &bytes[..]));
            let hash = hash(&layout.shape.to_string(), key, tensors);
            (JUDGE.to_string(), format!("{} {key} {hash}", layout.shape))
        }
    };
    let metadata = HashMap::from([metadata]);
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}

/// Reads the layout, and exactly the parameters of that layout.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Layout, BTreeMap<String, Tensor>), ClassifierError> {
    from_keyed_bytes(bytes).map(|(layout, parameters, _)| (layout, parameters))
}

/// As [`from_bytes`], and the key of the training, if the file has one.
pub(crate) fn from_keyed_bytes(bytes: &[u8]) -> Result<Keyed, ClassifierError> {
    let refuse = |reason: String| Err(ClassifierError::Weights(reason));
    let file = match SafeTensors::deserialize(bytes) {
        Ok(file) => file,
        Err(error) => return refuse(format!("not a safetensors file: {error}")),
    };
    let (layout, key) = layout(bytes, &file)?;
    let expected = layout.parameters();
    if let Some(name) = file.names().into_iter().find(|name| !expected.iter().any(|(known, _)| known == name))
    {
        return refuse(format!("{name} is not part of such a classifier"));
    }
    let mut parameters = BTreeMap::new();
    for (name, shape) in expected {
        let Ok(view) = file.tensor(&name) else { return refuse(format!("{name} is missing")) };
        if view.shape() != shape || view.dtype() != Dtype::F16 {
            let (found, dtype) = (view.shape(), view.dtype());
            return refuse(format!("{name} is {found:?} {dtype:?}, expected {shape:?} F16"));
        }
        let pairs = view.data().chunks_exact(2);
        let values: Vec<f32> = pairs.map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return refuse(format!("{name} has a value that is not finite: {value}"));
        }
        parameters.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok((layout, parameters, key))
}

/// The content of a file: a classifier, and the key of its training.
type Keyed = (Layout, BTreeMap<String, Tensor>, Option<String>);

/// The hash of everything in a file with a key.
fn hash<'a>(
    shape: &str,
    key: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(shape.as_bytes());
    add(key.as_bytes());
    for (name, shape, bytes) in tensors {
        add(name.as_bytes());
        shape.iter().for_each(|side| add(&(*side as u64).to_le_bytes()));
        add(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// Checks the hash of a file, and returns the shape and the key in its metadata.
fn shape_and_key<'a>(text: &'a str, file: &SafeTensors) -> Result<(&'a str, &'a str), ClassifierError> {
    let damaged = || ClassifierError::Weights("it is damaged: its hash is another".into());
    let [shape, key, hash_of_it] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(damaged()) };
    let mut names = file.names();
    names.sort_unstable();
    let views = names.into_iter().map(|name| file.tensor(name).map(|view| (name, view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|_| damaged())?;
    let tensors = views.iter().map(|(name, view)| (*name, view.shape(), view.data()));
    match hash(shape, key, tensors) == hash_of_it {
        true => Ok((shape, key)),
        false => Err(damaged()),
    }
}

/// The layout of a file: the metadata give the images' shape and the key, the last bias gives the number of
/// classes.
fn layout(bytes: &[u8], file: &SafeTensors) -> Result<(Layout, Option<String>), ClassifierError> {
    let refuse = |reason: String| Err(ClassifierError::Weights(reason));
    let metadata = SafeTensors::read_metadata(bytes).map(|(_, metadata)| metadata);
    let metadata = metadata.map_err(|error| ClassifierError::Weights(error.to_string()))?;
    let said = |key| metadata.metadata().as_ref().and_then(|metadata| metadata.get(key));
    let (text, key) = match (said(JUDGE), said(IMAGE)) {
        (Some(text), _) => shape_and_key(text, file).map(|(shape, key)| (shape, Some(key.to_string())))?,
        (None, Some(text)) => (text.as_str(), None),
        (None, None) => return refuse(format!("its metadata has no {IMAGE:?}, the images' shape")),
    };
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    let Some(&[channels, height, width]) = sides.as_deref() else {
        return refuse(format!("its metadata has {IMAGE:?} = {text:?}, expected a shape like \"1x28x28\""));
    };
    let classes = match file.tensor("head.bias") {
        Ok(bias) => bias.shape().iter().product(),
        Err(_) => return refuse("head.bias is missing".into()),
    };
    let architecture = match file.names().iter().any(|name| name.starts_with(PLAIN_NAME)) {
        true => Architecture::Plain,
        false => Architecture::Residual,
    };
    let layout = Layout::new(architecture, Shape { channels, height, width }, classes);
    layout.map(|layout| (layout, key)).map_err(|error| ClassifierError::Weights(error.to_string()))
}
