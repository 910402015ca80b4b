//! A model folder, opened: a run's checkpoint, or any folder of diffusers' `UNet2DModel`.

use crate::config::{RunConfig, SampleConfig};
use crate::drawing::Drawing;
use crate::error::{Error, Result, Within, option};
use crate::find;
use crate::job::lead::Job;
use candle_core::{DType, Device};
use duet_model::LoadedModel;
use duet_schedule::DiffusersScheduler;
use duet_train::checkpoint::CONFIG_COPY;
use duet_train::model_folder::{self, ClassRows, SCHEDULER_FILE};
use duet_train::{MANIFEST_FILE, Manifest};
use std::path::{Path, PathBuf};

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
    /// The ranks that draw with it together; none where this process is alone.
    pub job: Option<Job>,
}

impl Model {
    /// Opens the model that a name stands for: `latest`, a run, a checkpoint, or any model folder.
    ///
    /// A checkpoint that is pruned while it is read is looked for again: there is a newer one.
    ///
    /// # Errors
    /// Where there is no such folder or model, or where a file of it is damaged or not supported.
    pub fn open(name: impl AsRef<Path>, device: &Device) -> Result<Self> {
        read_model(name.as_ref(), |folder| load_from(folder.into(), device))
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
    pub fn with_guide(mut self, name: impl AsRef<Path>, device: &Device) -> Result<Self> {
        self.guide = Some(Box::new(load_guide(name.as_ref(), &self, device)?));
        Ok(self)
    }

    /// A model of its parts, with the meaning of the class embedding's rows.
    pub(crate) fn assembled(
        mut loaded: LoadedModel,
        scheduler: DiffusersScheduler,
        sample: Option<SampleConfig>,
        folder: PathBuf,
    ) -> Result<Self> {
        let rows = ClassRows::read(&loaded)?;
        let has_rows = loaded.unet.config().num_class_embeds.is_some();
        let null_is_assumed = has_rows && !rows.has_names && !rows.has_null_label;
        let (classes, null_label) = (rows.classes, with_null_last(&mut loaded, rows.null_label)?);
        Ok(Self {
            loaded,
            scheduler,
            classes,
            null_label,
            folder,
            sample,
            guide: None,
            job: None,
            null_is_assumed,
        })
    }

    /// Hash of the network's configuration and weights and of the scheduler.
    ///
    /// # Errors
    /// Those of candle.
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

/// What is read of the model that a name stands for. A checkpoint that is pruned meanwhile is looked for again.
pub(crate) fn read_model<T>(name: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    let mut looks = 1;
    loop {
        let folder = find::model_folder(name)?;
        let found = read(&folder);
        if found.is_ok() || folder.exists() || looks == LOOKS {
            return found;
        }
        looks += 1;
    }
}

/// The model that guidance leads away from: a checkpoint beside `model`'s, or any model folder that
/// answers the same questions.
fn load_guide(name: &Path, model: &Model, device: &Device) -> Result<Model> {
    let beside = model.folder.parent().map(|parent| parent.join(name)).filter(|path| path.is_dir());
    let path = beside.as_deref().unwrap_or(name);
    let name = name.display();
    let guide = Model::open(path, device).within(format!("--guide-with {name}"))?;
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

/// The model of a folder that was found.
pub(crate) fn load_from(folder: PathBuf, device: &Device) -> Result<Model> {
    if folder.join(MANIFEST_FILE).exists() && !Manifest::verify_model(&folder)? {
        log::info!(
            "{}: its training state is not there: it draws, and no training goes on from it",
            folder.display()
        );
    }
    let loaded = duet_model::load_folder(&folder, device)?;
    let missing = || Error::NoScheduler { folder: folder.clone(), path: folder.join(SCHEDULER_FILE) };
    let scheduler = scheduler_of(&folder)?.ok_or_else(missing)?;
    let copy = folder.join(CONFIG_COPY);
    let sample = match copy.is_file() {
        true => Some(RunConfig::load(&copy)?.0.sample),
        false => None,
    };
    Model::assembled(loaded, scheduler, sample, folder)
}

/// Reads a scheduler's configuration, with a warning of keys that are passed over.
pub(crate) fn read_scheduler(path: &Path) -> Result<DiffusersScheduler> {
    let (scheduler, ignored) = model_folder::read_scheduler(path)?;
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

/// The scheduler of a model folder, with a word where it is the one of the folder above; none where there
/// is none.
pub(crate) fn scheduler_of(folder: &Path) -> Result<Option<DiffusersScheduler>> {
    let Some(found) = model_folder::find_scheduler(folder) else { return Ok(None) };
    if found.is_above {
        log::info!("{}: the scheduler is that of {}", folder.display(), found.path.display());
    }
    read_scheduler(&found.path).map(Some)
}

/// Moves the null label's row behind the classes' rows, so that a class's number is its row.
fn with_null_last(loaded: &mut LoadedModel, null: Option<u32>) -> Result<Option<u32>> {
    let (Some(row), Some(rows)) = (null, loaded.unet.config().num_class_embeds) else { return Ok(null) };
    let last = rows as u32 - 1;
    if row != last {
        duet_model::move_class_row(&loaded.parameters, row)?;
        ClassRows::write_null_label(&mut loaded.notes, Some(last));
    }
    Ok(Some(last))
}
