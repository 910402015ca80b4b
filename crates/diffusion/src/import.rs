//! A model folder of a network from elsewhere.

use crate::error::{Result, option, setting};
use crate::files::write_folder;
use crate::model;
use candle_core::Device;
use duet_model::{CONFIG_FILE, ModelError};
use duet_schedule::DiffusersScheduler;
use duet_train::model_folder::{self, ClassRows};
use std::path::{Path, PathBuf};

/// What is taken in, and what nothing in it says.
#[derive(Debug, Clone)]
pub struct Import {
    /// A folder of diffusers, or a .safetensors file with a config.json beside it.
    pub source: PathBuf,
    /// The scheduler_config.json, where the source has none.
    pub scheduler: Option<PathBuf>,
    /// Names of the classes; none for their numbers.
    pub classes: Option<Vec<String>>,
    /// Row of the class embedding that stands for no class, or that there is none; none for what the source
    /// notes.
    pub null_label: Option<NullLabel>,
}

/// Which row of the class embedding stands for no class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullLabel {
    /// This one.
    Row(u32),
    /// None does.
    None,
}

impl std::str::FromStr for NullLabel {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            row => row
                .parse()
                .map(Self::Row)
                .map_err(|_| option("null-label", format!(" {text}: a row of the class embedding, or none"))),
        }
    }
}

/// What was made of it.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Numbers that are learnt.
    pub parameters: usize,
    /// The scheduler's class in diffusers.
    pub scheduler: &'static str,
    /// Names of the classes; none of a network without.
    pub classes: Option<Vec<String>>,
    /// The row that stands for no class.
    pub null_label: Option<u32>,
    /// Whether nothing named that row, so that the last one is taken.
    pub null_is_assumed: bool,
}

/// Writes the model folder `out`, which must not exist yet.
///
/// # Errors
/// Where the source is no network that is supported, or names and rows do not fit.
pub fn import(import: Import, out: &Path) -> Result<Imported> {
    let (config, weights) = locate(&import.source)?;
    let mut loaded = duet_model::load_files(&config, &weights, &Device::Cpu)?;
    model_folder::keep_own(&mut loaded.notes);
    if let Some(null) = import.null_label {
        let row = if let NullLabel::Row(row) = null { Some(row) } else { None };
        ClassRows::write_null_label(&mut loaded.notes, row);
    }
    if let Some(classes) = import.classes {
        ClassRows::write_names(&mut loaded.notes, &classes);
    }
    let ClassRows { classes, null_label, has_null_label, .. } = ClassRows::read(&loaded)?;
    let rows = loaded.unet.config().num_class_embeds;
    check_names(&classes, null_label, rows)?;
    if rows.is_some() {
        ClassRows::write_null_label(&mut loaded.notes, null_label);
    }
    let scheduler = scheduler(&import.scheduler, &loaded.folder)?;
    let (unet, parameters) = (loaded.unet.config(), &loaded.parameters);
    let files = model_folder::model_files(unet, parameters, &loaded.notes, &scheduler)?;
    write_folder(out, files)?;
    Ok(Imported {
        parameters: parameters.count(),
        scheduler: scheduler.class_name(),
        classes: rows.map(|_| classes),
        null_label,
        null_is_assumed: !has_null_label,
    })
}

/// The configuration and the weights.
fn locate(source: &Path) -> Result<(PathBuf, PathBuf)> {
    if source.exists() && !source.is_dir() {
        return Ok((source.with_file_name(CONFIG_FILE), source.into()));
    }
    let inner = source.join("unet");
    let folder = if inner.is_dir() { inner } else { source.to_path_buf() };
    let weights = duet_model::find_weights(&folder)?;
    if weights.exists() {
        return Ok((folder.join(CONFIG_FILE), weights));
    }
    // A single file of any other name.
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    let found: Vec<PathBuf> = entries.filter(is_weights).collect();
    match found.as_slice() {
        [] => Ok((folder.join(CONFIG_FILE), weights)),
        [one] => Ok((folder.join(CONFIG_FILE), one.clone())),
        several => Err(setting(format!(
            "{}: {} files of weights; name the one to import instead of the folder",
            folder.display(),
            several.len()
        ))),
    }
}

/// Each row but the null label's has a name.
fn check_names(classes: &[String], null: Option<u32>, rows: Option<usize>) -> Result<()> {
    let known = rows.unwrap_or(0) - usize::from(null.is_some());
    match classes.len() == known {
        true => Ok(()),
        false => {
            Err(option("classes", format!(": {} names, and the network has {known} classes", classes.len())))
        }
    }
}

fn scheduler(named: &Option<PathBuf>, folder: &Path) -> Result<DiffusersScheduler> {
    if let Some(path) = named {
        return model::read_scheduler(path);
    }
    if let Some(scheduler) = model::scheduler_of(folder)? {
        return Ok(scheduler);
    }
    log::warn!(
        "no scheduler_config.json in {}: taking diffusers' defaults, the linear schedule and \
         epsilon-prediction; if the network was trained otherwise, name its own with --scheduler",
        folder.display()
    );
    let defaults = DiffusersScheduler::from_json(r#"{"_class_name": "DDIMScheduler"}"#);
    Ok(defaults.map_err(|error| ModelError::Input(error.to_string()))?)
}
