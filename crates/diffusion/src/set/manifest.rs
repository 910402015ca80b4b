//! `manifest.json` of a set: what was asked for, and what came of it.

use crate::error::{Result, Within, setting};
use crate::files::write_atomically;
use duet_data::DataError;
use duet_sample::Seeds;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::Path;

/// Of the format.
const VERSION: u32 = 1;
/// Seeds of a million images fit.
const MAX_BYTES: u64 = 1 << 25;

/// All of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetManifest {
    /// Of the format.
    pub version: u32,
    /// What the set is. Flags that ask for another one do not go on with it.
    pub asked: Asked,
    /// Whether every image is there.
    pub finished: bool,
    /// Images that were drawn, up to the last one of each class that was kept.
    pub drawn: u64,
    /// Images of the set.
    pub kept: u64,
    /// The share of the drawn ones that the judge takes for their class, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The classes in the order of their labels.
    pub classes: Vec<SetClass>,
}

/// What a set depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Asked {
    /// The program's version: another one may draw other bytes.
    pub program: String,
    /// Hash of network and scheduler.
    pub model: String,
    /// The same of the model that guidance leads away from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide: Option<String>,
    /// The options of the drawing.
    pub settings: Map<String, Value>,
    /// Images in all.
    pub count: u64,
    /// The seeds that each class draws from; without them, from 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Seeds>,
    /// The form of the set: folder, npz or idx.
    pub format: String,
    /// What the judge was made of, where only images are kept that it takes for their class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_right: Option<String>,
}

/// A class of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetClass {
    /// Its name, as the model has it.
    pub name: String,
    /// Its number in the model; 0 of a model without classes.
    pub number: u32,
    /// The folder of its images, where each class has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Images that were asked for.
    pub count: u64,
    /// Images that were drawn, up to the last one that was kept.
    pub drawn: u64,
    /// Images of the set.
    pub kept: u64,
    /// `kept` of `drawn`, if the judge was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The seeds of the images that were not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Seeds>,
}

impl SetManifest {
    /// Of these classes.
    pub(crate) fn new(asked: Asked, classes: Vec<SetClass>, finished: bool) -> Self {
        let sum = |of: fn(&SetClass) -> u64| classes.iter().map(of).sum::<u64>();
        let (drawn, kept) = (sum(|class| class.drawn), sum(|class| class.kept));
        let accuracy = asked.only_right.as_ref().and_then(|_| share(kept, drawn));
        Self { version: VERSION, asked, finished, drawn, kept, accuracy, classes }
    }

    /// The file's; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or is another file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match duet_files::read(path, MAX_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|cause| DataError::Read { path: path.into(), cause })?,
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| DataError::Malformed {
            path: path.into(),
            cause: format!("not the manifest of a set of images ({error})"),
            fix: "name another place with --out".into(),
        })?;
        Ok(Some(manifest))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).within(path.display().to_string())? + "\n";
        write_atomically(path, text.as_bytes())
    }

    /// Refuses to go on with another set.
    pub(crate) fn check(&self, path: &Path, asked: &Asked) -> Result<()> {
        let path = path.display();
        if self.version != VERSION {
            let version = self.version;
            return Err(setting(format!("{path}: of version {version}, and version {VERSION} is read")));
        }
        let values = |asked: &Asked| -> Result<Map<String, Value>> {
            let mut keys: Map<String, Value> = serde_json::from_value(serde_json::to_value(asked)?)?;
            if let Some(Value::Object(settings)) = keys.remove("settings") {
                keys.extend(settings);
            }
            Ok(keys)
        };
        let (then, now) = (values(&self.asked)?, values(asked)?);
        let shown = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "nothing".into(),
        };
        match then.keys().chain(now.keys()).find(|key| then.get(*key) != now.get(*key)) {
            None => Ok(()),
            Some(key) => Err(setting(format!(
                "{path}: this set was begun with other settings ({key} was {}, and is {} now); use the same, or name \
                 another place with --out",
                shown(then.get(key)),
                shown(now.get(key)),
            ))),
        }
    }
}

/// A share of the drawn ones, if there are any.
pub(crate) fn share(kept: u64, drawn: u64) -> Option<f64> {
    (drawn > 0).then(|| kept as f64 / drawn as f64)
}
