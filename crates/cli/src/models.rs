//! Opening models, with what a person should know of them.

use crate::job;
use crate::terminal::{command, err};
use anyhow::Result;
use candle_core::Device;
use duet_diffusion::{Drawing, Model};

/// The model that `--run` names, and the one of `--guide-with`.
pub fn of(drawing: &Drawing, device: &Device) -> Result<Model> {
    Ok(told(Model::of(drawing, device)?))
}

/// The model that `--run` names.
pub fn open(run: &str, device: &Device) -> Result<Model> {
    Ok(told(Model::open(run, device)?))
}

/// The model, which the job's ranks draw with together, with a word where nothing in its folder says which row is the null label's.
fn told(mut model: Model) -> Model {
    model.job = job::current();
    if let (true, Some(rows)) = (model.null_is_assumed, model.loaded.unet.config().num_class_embeds) {
        let folder = model.folder.display().to_string();
        let import = command(["import", &folder, "--null-label", "none", "--out", "DIR"]);
        err!(
            "{folder}: nothing says which of its {rows} class rows stands for no class; the last, row {}, is taken; if \
             all are classes, make a folder that says so: {import}",
            rows - 1
        );
    }
    model
}
