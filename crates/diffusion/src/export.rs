//! The smallest folder that diffusers loads, with a model card.

use crate::card::{self, Card};
use crate::config::RunConfig;
use crate::curves;
use crate::drawing::Drawing;
use crate::error::Result;
use crate::files::{refuse_existing, write_folder};
use crate::metrics::{self, METRICS};
use crate::model::Model;
use crate::note::Form;
use crate::plan::Plan;
use crate::run_folder::CONFIG;
use crate::settings;
use candle_core::Device;
use std::path::Path;

/// What the card says that the model does not know.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The model's name; none for the folder's.
    pub name: Option<String>,
    /// Of the data; none for what the run knows.
    pub data: Option<String>,
    /// The data's licence.
    pub data_licence: Option<String>,
}

/// Seeds of every class in the card's pictures, classes of them at most, and images at once.
const SEEDS: usize = 8;
const CLASSES: usize = 20;
const BATCH: usize = 64;

/// Writes the folder `out`, which must not exist yet.
///
/// # Errors
/// Where there is something, or the model cannot draw.
pub fn export(model: &Model, about: About, out: &Path) -> Result<()> {
    refuse_existing(out)?;
    let run = model.folder.parent().and_then(Path::parent).filter(|run| run.join(CONFIG).is_file());
    let config = run.map(|run| RunConfig::load(&run.join(CONFIG))).transpose()?.map(|(c, _)| c);
    let metrics = run.map(|run| metrics::read(&run.join(METRICS))).transpose()?.unwrap_or_default();
    let mut files = duet_train::model_folder::model_files(
        model.loaded.unet.config(),
        &model.loaded.parameters,
        &model.loaded.notes,
        &model.scheduler,
    )?;
    let drawing = Drawing::of_first_classes(&model.classes, CLASSES, SEEDS);
    let drawing = settings::resolved(&drawing, model)?;
    let pictures = pictures(&drawing, model)?;
    let settings = pictures.as_ref().map(|pictures| pictures.settings.clone());
    if let Some(pictures) = pictures {
        files.insert("samples.png".into(), pictures.png);
    }
    if let Some(picture) = curves::svg(&metrics) {
        files.insert("curves.svg".into(), picture.into_bytes());
    }
    let folder = out.file_name().map(|name| name.to_string_lossy().into_owned());
    let card = Card {
        name: about.name.or(folder).unwrap_or_else(|| "A Duet model".into()),
        model,
        config: config.as_ref(),
        metrics: &metrics,
        data: about.data,
        data_licence: about.data_licence,
        drawing: &drawing,
        pictures: settings,
        has_curves: files.contains_key("curves.svg"),
    };
    files.insert("README.md".into(), card::written(&card).into_bytes());
    write_folder(out, files)
}

/// A grid of every class, as PNG, and how it was drawn; none where the network says nothing of its
/// images' size.
fn pictures(drawing: &Drawing, model: &Model) -> Result<Option<Pictures>> {
    let config = model.loaded.unet.config();
    if config.sample_size.is_none() || config.in_channels != config.out_channels {
        return Ok(None);
    }
    let mut plan = Plan::new(drawing, model, BATCH, &Device::Cpu)?;
    plan.note = plan.note.seen_from_picture(".");
    let grid = plan.grid(&plan.draw(|_| Ok(()))?.images)?;
    Ok(Some(Pictures { png: grid.encode_png_with(&plan.texts(Form::Grid)?), settings: plan.summary() }))
}

struct Pictures {
    png: Vec<u8>,
    settings: String,
}
