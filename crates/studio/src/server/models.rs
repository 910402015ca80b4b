//! Models that stay open.

use crate::limits;
use crate::refusal::Refusal;
use crate::server::places::{Places, newest_checkpoint};
use duet_diffusion::train::MANIFEST_FILE;
use duet_diffusion::{Device, Drawing, Model};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// More is no manifest.
const MANIFEST_BYTES: u64 = 1 << 20;
/// What a model folder of diffusers has where it has no manifest.
const FILES: [&str; 4] = [
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "config.json",
    "diffusion_pytorch_model.safetensors",
];

/// The last models that were asked for, the newest last.
#[derive(Default)]
pub struct Models(Mutex<Vec<(Key, Arc<Model>)>>);

/// A model is another one where any of this differs, such as after the next checkpoint of its run.
#[derive(Clone, PartialEq)]
struct Key {
    name: PathBuf,
    stamp: Stamp,
    guide: Option<(String, Stamp)>,
}

/// What a folder is, without reading its weights.
#[derive(Clone, PartialEq)]
struct Stamp {
    folder: PathBuf,
    manifest: Option<Vec<u8>>,
    files: Vec<Option<(u64, SystemTime)>>,
}

impl Stamp {
    /// Of a model folder, or of a run's newest checkpoint.
    fn of(path: &Path) -> Self {
        let folder = newest_checkpoint(path).map_or_else(|| path.into(), |(_, folder)| folder);
        let known = |name: &&str| {
            let data = std::fs::metadata(folder.join(name)).ok()?;
            Some((data.len(), data.modified().ok()?))
        };
        Self {
            manifest: duet_files::read(&folder.join(MANIFEST_FILE), MANIFEST_BYTES).ok(),
            files: FILES.iter().map(known).collect(),
            folder,
        }
    }
}

impl Models {
    /// The model of a drawing, with the one that leads it away.
    pub fn of(&self, drawing: &Drawing, places: &Places) -> Result<Arc<Model>, Refusal> {
        let path = places.model(&drawing.run)?;
        let stamp = Stamp::of(&path);
        let guide = match &drawing.guide_with {
            None => None,
            Some(name) => {
                places.check_guide(name)?;
                let beside =
                    stamp.folder.parent().map(|parent| parent.join(name)).filter(|path| path.is_dir());
                let path = beside
                    .map_or_else(|| places.model(name), Ok)
                    .map_err(|refusal| refusal.of("guide-with"))?;
                Some((path.display().to_string(), Stamp::of(&path)))
            }
        };
        let key = Key { name: path.clone(), stamp, guide };
        if let Some(found) = self.found(&key) {
            return Ok(found);
        }
        let model = Model::open(&path, &Device::Cpu)?;
        let model = match &drawing.guide_with {
            Some(name) => model.with_guide(name, &Device::Cpu)?,
            None => model,
        };
        let model = Arc::new(model);
        let mut open = self.lock();
        open.push((key, model.clone()));
        let surplus = open.len().saturating_sub(limits::OPEN_MODELS);
        open.drain(..surplus);
        Ok(model)
    }

    /// The model of this name.
    pub fn named(&self, name: &str, places: &Places) -> Result<Arc<Model>, Refusal> {
        self.of(&Drawing { run: name.into(), ..Drawing::default() }, places)
    }

    fn found(&self, key: &Key) -> Option<Arc<Model>> {
        let mut open = self.lock();
        let at = open.iter().position(|(known, _)| known == key)?;
        let entry = open.remove(at);
        let model = entry.1.clone();
        open.push(entry);
        Some(model)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Key, Arc<Model>)>> {
        self.0.lock().unwrap_or_else(|held| held.into_inner())
    }
}
