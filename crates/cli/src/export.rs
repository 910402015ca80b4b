//! `cargo xtask export`: the smallest folder that diffusers loads, with a model card.

use crate::card::{self, Card};
use crate::config::RunConfig;
use crate::curves;
use crate::drawing::Drawing;
use crate::exit::usage;
use crate::model_folder;
use crate::note::Form;
use crate::plan::{Models, Plan};
use crate::terminal::out;
use crate::{run_folder, settings};
use anyhow::Result;
use candle_core::Device;
use duet_data::DataError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `export`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Where the folder goes; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name in the model card [default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// What the model card says of the data [default: what the run knows]
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// The data's licence, for the model card
    #[arg(long, value_name = "TEXT")]
    data_licence: Option<String>,
}

/// Seeds of every class in the card's pictures, classes of them at most, and images at once.
const SEEDS: &str = "0-7";
const CLASSES: usize = 20;
const BATCH: usize = 64;

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    refuse_existing(&args.out)?;
    let models = Models { model: model_folder::load(&args.run, &Device::Cpu)?, guide: None };
    let model = &models.model;
    let run = model.folder.parent().and_then(Path::parent).filter(|run| run.join("config.toml").is_file());
    let config = run.map(|run| RunConfig::load(&run.join("config.toml"))).transpose()?.map(|(c, _)| c);
    let metrics =
        run.map(|run| run_folder::read_metrics(&run.join("metrics.jsonl"))).transpose()?.unwrap_or_default();
    let unet = &model.loaded.unet;
    let mut files = duet_train::checkpoint::model_files(
        unet.config(),
        &model.loaded.parameters,
        &model.loaded.notes,
        &model.scheduler,
    )?;
    let drawing = Drawing::of_first_classes(&model.classes, CLASSES, SEEDS);
    let drawing = settings::resolved(&drawing, model)?;
    let pictures = pictures(&drawing, &models)?;
    let settings = pictures.as_ref().map(|pictures| pictures.settings.clone());
    if let Some(pictures) = pictures {
        files.insert("samples.png".into(), pictures.png);
    }
    if let Some(picture) = curves::svg(&metrics) {
        files.insert("curves.svg".into(), picture.into_bytes());
    }
    let folder = args.out.file_name().map(|name| name.to_string_lossy().into_owned());
    let card = Card {
        name: args.name.or(folder).unwrap_or_else(|| "A Duet model".into()),
        model,
        config: config.as_ref(),
        metrics: &metrics,
        data: args.data,
        data_licence: args.data_licence,
        drawing: &drawing,
        pictures: settings,
        has_curves: files.contains_key("curves.svg"),
    };
    files.insert("README.md".into(), card::written(&card).into_bytes());
    write_folder(&args.out, files)?;
    out!("{}: from {}", args.out.display(), model.folder.display());
    out!("load it in Python with UNet2DModel.from_pretrained({:?}, subfolder=\"unet\")", args.out);
    Ok(())
}

/// A grid of every class, as PNG, and how it was drawn; none where the network says nothing of its
/// images' size.
fn pictures(drawing: &Drawing, models: &Models) -> Result<Option<Pictures>> {
    let config = models.model.loaded.unet.config();
    if config.sample_size.is_none() || config.in_channels != config.out_channels {
        return Ok(None);
    }
    let mut plan = Plan::new(drawing, models, BATCH, &Device::Cpu)?;
    plan.note = plan.note.seen_from_picture(".");
    let grid = plan.grid(&plan.draw(|_| Ok(()))?.images)?;
    Ok(Some(Pictures { png: grid.encode_png_with(&plan.texts(Form::Grid)?), settings: plan.summary() }))
}

struct Pictures {
    png: Vec<u8>,
    settings: String,
}

pub fn refuse_existing(out: &Path) -> Result<()> {
    match out.exists() {
        true => Err(usage(format!("--out {}: there is something already", out.display()))),
        false => Ok(()),
    }
}

/// Writes a new folder: whole or not at all.
pub fn write_folder(out: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<()> {
    refuse_existing(out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent)?;
        for (name, bytes) in &files {
            let path = temporary.path().join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        readable(temporary.path())?;
        std::fs::rename(temporary.path(), out)?;
        // Renamed: there is nothing left to remove.
        let _ = temporary.keep();
        Ok(())
    };
    Ok(write().map_err(|cause| DataError::Write { path: out.into(), cause })?)
}

/// Temporary folders are for their owner alone; this one is to be shared.
fn readable(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    let _ = folder;
    Ok(())
}
