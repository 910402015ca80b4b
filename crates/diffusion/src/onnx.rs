//! A model as an ONNX file, with what a program needs to draw with it.

use crate::error::{Result, Within};
use crate::files::{create_parent, refuse_existing, write_atomically};
use crate::model::Model;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the network with its weights as the ONNX file `out`, which must not exist yet: see
/// [`UNet::to_onnx`](crate::network::UNet::to_onnx) for its inputs and its output.
///
/// Its metadata are JSON: `unet` and `scheduler` as in the model folder, the table `alphas_cumprod` of ᾱ, the
/// names of the `classes`, and the row `null_label` that means no class, or null.
///
/// # Errors
/// Where there is something, or the network has more than 2 GiB of weights.
pub fn export_onnx(model: &Model, out: &Path) -> Result<()> {
    refuse_existing(out)?;
    let unet = &model.loaded.unet;
    let alpha_bars = model.scheduler.noise_schedule()?;
    let notes = BTreeMap::from([
        ("unet", unet.config().to_json(&model.loaded.notes)?),
        ("scheduler", model.scheduler.to_json()),
        ("alphas_cumprod", serde_json::to_string(alpha_bars.alphas_cumprod())?),
        ("classes", serde_json::to_string(&model.classes)?),
        ("null_label", serde_json::to_string(&model.null_label)?),
    ]);
    let notes = notes.into_iter().map(|(name, text)| (name.to_string(), text)).collect();
    let bytes = unet.to_onnx(&notes).within(out.display().to_string())?;
    create_parent(out)?;
    write_atomically(out, &bytes)
}
