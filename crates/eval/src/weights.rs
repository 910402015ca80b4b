//! A classifier's weights as a safetensors file: read without trust, written whole.

use crate::ClassifierError;
use crate::network::Layout;
use candle_core::{Device, Tensor};
use duet_data::Shape;
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The metadata's only key: the images' shape, as in 1x28x28. All else follows from the tensors.
const IMAGE: &str = "image";
/// Larger files are refused.
const MAX_BYTES: u64 = 64 << 20;

/// The bytes of a file that is not larger than any classifier.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ClassifierError> {
    let failed = |cause| ClassifierError::Read { path: path.into(), cause };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ClassifierError::File { path: path.into(), reason: "not a file".into() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("larger than {MAX_BYTES} bytes, so not a classifier");
        return Err(ClassifierError::File { path: path.into(), reason });
    }
    Ok(bytes)
}

/// Writes a temporary sibling, which no other thread or process writes, and renames it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ClassifierError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let failed = |cause| ClassifierError::Write { path: path.into(), cause };
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| failed(std::io::ErrorKind::IsADirectory.into()))?);
    name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; the leftover may not even exist.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

pub(crate) fn to_bytes(
    layout: &Layout,
    parameters: &BTreeMap<String, Tensor>,
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
    let metadata = HashMap::from([(IMAGE.to_string(), layout.shape.to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}

/// The layout that a file says it has, and exactly the parameters of that layout.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Layout, BTreeMap<String, Tensor>), ClassifierError> {
    let refuse = |reason: String| Err(ClassifierError::Weights(reason));
    let file = match SafeTensors::deserialize(bytes) {
        Ok(file) => file,
        Err(error) => return refuse(format!("not a safetensors file: {error}")),
    };
    let layout = layout(bytes, &file)?;
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
    Ok((layout, parameters))
}

/// From the metadata the images' shape, from the last bias the number of classes.
fn layout(bytes: &[u8], file: &SafeTensors) -> Result<Layout, ClassifierError> {
    let refuse = |reason: String| Err(ClassifierError::Weights(reason));
    let metadata = SafeTensors::read_metadata(bytes).map(|(_, metadata)| metadata);
    let metadata = metadata.map_err(|error| ClassifierError::Weights(error.to_string()))?;
    let Some(text) = metadata.metadata().as_ref().and_then(|metadata| metadata.get(IMAGE)) else {
        return refuse(format!("its metadata has no {IMAGE:?}, the images' shape"));
    };
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    let Some(&[channels, height, width]) = sides.as_deref() else {
        return refuse(format!("its metadata has {IMAGE:?} = {text:?}, expected a shape like \"1x28x28\""));
    };
    let classes = match file.tensor("head.bias") {
        Ok(bias) => bias.shape().iter().product(),
        Err(_) => return refuse("head.bias is missing".into()),
    };
    let layout = Layout::new(Shape { channels, height, width }, classes);
    layout.map_err(|error| ClassifierError::Weights(error.to_string()))
}
