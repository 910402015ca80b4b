//! A model folder, opened: a run's checkpoint, or any folder of diffusers' `UNet2DModel`.

use crate::config::{RunConfig, SampleConfig};
use crate::drawing::Drawing;
use crate::error::{Error, Result, Within, option, setting};
use crate::find;
use candle_core::{DType, Device};
use duet_model::{LoadedModel, ModelError};
use duet_schedule::DiffusersScheduler;
use duet_train::checkpoint::CONFIG_COPY;
use duet_train::{MANIFEST_FILE, Manifest};
use std::path::{Path, PathBuf};

/// A table of a million betas fits.
const MAX_SCHEDULER_BYTES: u64 = 1 << 26;

/// How often a folder is looked for that is gone when it is read.
const LOOKS: usize = 100;

/// A network with all that sampling from it needs.
pub struct Model {
    /// The network, its weights and the folder's notes.
    pub loaded: LoadedModel,
    /// How it was trained, and how its folder says that it draws.
    pub scheduler: DiffusersScheduler,
    /// Names of the classes; empty for an unconditional network.
    pub classes: Vec<String>,
    /// The row of the class embedding that stands for no class.
    pub null_label: Option<u32>,
    /// Whether nothing in the folder names the null label's row, so that the last one is taken.
    pub null_is_assumed: bool,
    /// The folder that was found.
    pub folder: PathBuf,
    /// How its run draws, where it is known.
    pub sample: Option<SampleConfig>,
    /// The model that guidance leads away from, where it is another one.
    pub guide: Option<Box<Model>>,
}

impl Model {
    /// Opens the model that a name stands for: `latest`, a run, a checkpoint, or any model folder.
    ///
    /// A checkpoint that is pruned while it is read is looked for again: there is a newer one.
    ///
    /// # Errors
    /// Where there is no such folder or model, or where a file of it is damaged or not supported.
    pub fn open(name: &str, device: &Device) -> Result<Self> {
        let mut looks = 1;
        loop {
            let folder = find::model_folder(name)?;
            let model = load_from(folder.clone(), device);
            if model.is_ok() || folder.exists() || looks == LOOKS {
                return model;
            }
            looks += 1;
        }
    }

    /// The model that a drawing names, with the one that leads it away.
    ///
    /// # Errors
    /// As [`Model::open`] and [`Model::with_guide`].
    pub fn of(drawing: &Drawing, device: &Device) -> Result<Self> {
        let model = Self::open(&drawing.run, device)?;
        match &drawing.guide_with {
            Some(name) => model.with_guide(name, device),
            None => Ok(model),
        }
    }

    /// The same, led away from another model (autoguidance, Karras et al. 2024): a checkpoint beside this
    /// one's, or any model folder that answers the same questions.
    ///
    /// # Errors
    /// As [`Model::open`], and where channels, classes, prediction or noise schedule differ.
    pub fn with_guide(mut self, name: &str, device: &Device) -> Result<Self> {
        self.guide = Some(Box::new(load_guide(name, &self, device)?));
        Ok(self)
    }

    /// Hash of the network's configuration and weights and of the scheduler.
    pub fn hash(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(&serde_json::to_vec(self.loaded.unet.config())?);
        add(self.scheduler.to_json().as_bytes());
        for (name, values) in self.loaded.parameters.iter() {
            add(name.as_bytes());
            let values: Vec<f32> = values.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            add(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(hasher.finalize().to_string())
    }
}

/// The model that guidance leads away from: a checkpoint beside `model`'s, or any model folder that
/// answers the same questions.
fn load_guide(name: &str, model: &Model, device: &Device) -> Result<Model> {
    let beside = model.folder.parent().map(|parent| parent.join(name)).filter(|path| path.is_dir());
    let path = beside.map_or_else(|| name.to_string(), |path| path.display().to_string());
    let guide = Model::open(&path, device).within(format!("--guide-with {name}"))?;
    let (a, b) = (model.loaded.unet.config(), guide.loaded.unet.config());
    let refuse = |what: &str| option("guide-with", format!(" {name}: its {what} is not the model's"));
    if (a.in_channels, a.out_channels, a.num_class_embeds)
        != (b.in_channels, b.out_channels, b.num_class_embeds)
    {
        return Err(refuse("number of channels or classes"));
    }
    if model.scheduler.prediction()? != guide.scheduler.prediction()? {
        return Err(refuse("prediction type"));
    }
    if model.scheduler.noise_schedule()? != guide.scheduler.noise_schedule()? {
        return Err(refuse("noise schedule"));
    }
    Ok(guide)
}

fn load_from(folder: PathBuf, device: &Device) -> Result<Model> {
    if folder.join(MANIFEST_FILE).exists() && !Manifest::verify_model(&folder)? {
        log::info!(
            "{}: its training state is not there: it draws, and no training goes on from it",
            folder.display()
        );
    }
    let mut loaded = duet_model::load_folder(&folder, device)?;
    let scheduler = read_scheduler(&found_scheduler(&folder)?)?;
    let (classes, null_label) = labels(&loaded)?;
    let null_is_assumed = is_assumed(&loaded);
    let null_label = with_null_last(&mut loaded, null_label)?;
    let copy = folder.join(CONFIG_COPY);
    let sample = match copy.is_file() {
        true => Some(RunConfig::load(&copy)?.0.sample),
        false => None,
    };
    Ok(Model { loaded, scheduler, classes, null_label, folder, sample, guide: None, null_is_assumed })
}

/// Where the scheduler of a model folder is: within it; beside it, of a bare `unet` or `unet_ema`
/// folder; above it, of a checkpoint that diffusers' training scripts leave in their output folder.
pub fn scheduler_path(folder: &Path) -> Option<PathBuf> {
    let is_checkpoint = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoint-"))
    };
    let beside = folder.parent().filter(|_| folder.join(duet_model::CONFIG_FILE).is_file());
    let above = [Some(folder), beside].into_iter().flatten().find(is_checkpoint).and_then(Path::parent);
    let folders = [Some(folder), beside, above].into_iter().flatten();
    let paths = folders.map(|folder| folder.join("scheduler/scheduler_config.json"));
    let path = paths.chain([folder.join("scheduler_config.json")]).find(|path| path.exists())?;
    if above.is_some_and(|above| path.parent().and_then(Path::parent) == Some(above)) {
        log::info!("{}: the scheduler is that of {}", folder.display(), path.display());
    }
    Some(path)
}

fn found_scheduler(folder: &Path) -> Result<PathBuf> {
    let missing =
        || Error::NoScheduler { folder: folder.into(), path: folder.join("scheduler/scheduler_config.json") };
    scheduler_path(folder).ok_or_else(missing)
}

/// Reads a `scheduler_config.json`.
pub fn read_scheduler(path: &Path) -> Result<DiffusersScheduler> {
    let read = |cause| ModelError::Read { path: path.into(), cause };
    let refuse = |reason: String| ModelError::File { path: path.into(), reason };
    let text = duet_files::read_text(path, MAX_SCHEDULER_BYTES).map_err(read)?;
    let read = DiffusersScheduler::from_json_with_ignored(&text);
    let (scheduler, ignored) = read.map_err(|error| refuse(error.to_string()))?;
    if !ignored.is_empty() {
        log::warn!(
            "{}: {} ignored, as diffusers does: keys of another scheduler, which {} has not",
            path.display(),
            ignored.join(", "),
            scheduler.class_name()
        );
    }
    Ok(scheduler)
}

/// Class names and null label: those that the folder notes (a null label of `null` is none). Where it
/// notes none, there is none if every row of the class embedding has a name, and else the last row is
/// taken. The names are those of the other rows, in their order.
pub fn labels(loaded: &LoadedModel) -> Result<(Vec<String>, Option<u32>)> {
    let Some(rows) = loaded.unet.config().num_class_embeds else { return Ok((Vec::new(), None)) };
    let wrong = |key: &str| {
        setting(format!(
            "{}: {key} does not fit num_class_embeds = {rows}",
            loaded.folder.join("config.json").display()
        ))
    };
    let null = match loaded.notes.get("_duet_null_label") {
        Some(serde_json::Value::Null) => None,
        Some(value) => {
            let row = value.as_u64().filter(|&null| null < rows as u64);
            Some(row.ok_or_else(|| wrong("_duet_null_label"))? as u32)
        }
        None if named(loaded) == Some(rows) => None,
        None => Some(rows as u32 - 1),
    };
    let known = rows - usize::from(null.is_some());
    let classes = match loaded.notes.get("_duet_classes") {
        Some(value) => {
            serde_json::from_value::<Vec<String>>(value.clone()).map_err(|_| wrong("_duet_classes"))?
        }
        None => (0..known).map(|i| i.to_string()).collect(),
    };
    if classes.len() > known {
        return Err(wrong("_duet_classes"));
    }
    Ok((classes, null))
}

/// How many classes the folder names.
fn named(loaded: &LoadedModel) -> Option<usize> {
    Some(loaded.notes.get("_duet_classes")?.as_array()?.len())
}

/// Whether nothing in the folder tells which row stands for no class.
fn is_assumed(loaded: &LoadedModel) -> bool {
    let has_rows = loaded.unet.config().num_class_embeds.is_some();
    has_rows && !loaded.notes.contains_key("_duet_null_label") && named(loaded).is_none()
}

/// Moves the null label's row behind the classes' rows, so that a class's number is its row.
fn with_null_last(loaded: &mut LoadedModel, null: Option<u32>) -> Result<Option<u32>> {
    let (Some(row), Some(rows)) = (null, loaded.unet.config().num_class_embeds) else { return Ok(null) };
    let last = rows as u32 - 1;
    if row != last {
        duet_model::move_class_row(&loaded.parameters, row)?;
        loaded.notes.insert("_duet_null_label".into(), last.into());
    }
    Ok(Some(last))
}
