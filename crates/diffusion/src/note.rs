//! What a PNG says of itself: which model drew it, and how.

use crate::drawing::Drawing;
use crate::error::{Error, Result, option, setting};
use crate::inputs::{Inputs, hash_of, read_picture};
use crate::model::Model;
use duet_data::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The keyword under which a PNG carries its note, as JSON.
const KEYWORD: &str = "duet";

/// All that it takes to draw a picture again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The program's.
    pub version: String,
    /// Hash of network and scheduler.
    pub model: String,
    /// The same of the model that guidance leads away from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide: Option<String>,
    /// Hashes of the files that were read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<PathBuf, String>,
    /// Which picture of the drawing it is.
    pub form: Form,
    /// Whether the drawing names its model as seen from the picture's folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_picture: bool,
    /// What was drawn.
    pub drawing: Drawing,
}

/// Which picture of the drawing it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// All images.
    Grid,
    /// The image of this index.
    Image(usize),
    /// The way from noise to all images.
    Animation,
    /// The sheet of a sweep, with its flags.
    Sweep {
        /// What differs from row to row.
        rows: String,
        /// And from column to column.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<String>,
    },
}

impl Note {
    /// Of a drawing whose settings are resolved.
    ///
    /// # Errors
    /// Where a file of the drawing cannot be read.
    pub fn new(drawing: &Drawing, model: &Model) -> Result<Self> {
        Self::with_inputs(drawing, model, &Inputs::default())
    }

    /// The same where pictures may be in memory.
    pub(crate) fn with_inputs(drawing: &Drawing, model: &Model, inputs: &Inputs) -> Result<Self> {
        let paths = [&drawing.noise, &drawing.image, &drawing.mask].into_iter().flatten();
        let files = paths.map(|path| Ok((path.clone(), inputs.hash(path)?))).collect::<Result<_, Error>>()?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").into(),
            model: model.hash()?,
            guide: model.guide.as_deref().map(Model::hash).transpose()?,
            files,
            form: Form::Grid,
            from_picture: false,
            drawing: Drawing { run: model.folder.display().to_string(), ..drawing.clone() },
        })
    }

    /// The same, for a picture that is moved together with its model, at `run` from the picture's folder.
    pub fn seen_from_picture(self, run: &str) -> Self {
        let drawing = Drawing { run: run.into(), ..self.drawing };
        Self { from_picture: true, drawing, ..self }
    }

    /// The texts of a PNG; `title` says what it shows.
    ///
    /// # Errors
    /// Where a value cannot be written as JSON.
    pub fn texts(&self, form: Form, title: &str, description: &str) -> Result<Vec<(&'static str, String)>> {
        let note = Self { form, ..self.clone() };
        Ok(vec![
            ("Title", title.into()),
            ("Description", description.into()),
            ("Software", format!("Duet {}", self.version)),
            (KEYWORD, serde_json::to_string(&note)?),
        ])
    }

    /// The note of a PNG file.
    ///
    /// # Errors
    /// Where it cannot be read, is no PNG, or does not say how it was made.
    pub fn read(path: &Path) -> Result<(Self, Vec<(String, String)>)> {
        Self::read_bytes(&read_picture(path)?, path)
    }

    /// The note of a PNG file's bytes; `path` is what an error calls it.
    ///
    /// # Errors
    /// As [`Note::read`].
    pub fn read_bytes(bytes: &[u8], path: &Path) -> Result<(Self, Vec<(String, String)>)> {
        let refuse = |cause: String| DataError::Malformed {
            path: path.into(),
            cause,
            fix: "`sample` writes pictures that can be made again".into(),
        };
        let texts = duet_data::texts_of_png(bytes).map_err(|error| refuse(error.to_string()))?;
        let note = texts.iter().find(|(keyword, _)| keyword == KEYWORD);
        let (_, note) = note.ok_or_else(|| refuse("it does not say how it was made".into()))?;
        let note: Self = serde_json::from_str(note).map_err(|error| refuse(error.to_string()))?;
        note.drawing.check().map_err(|error| refuse(format!("it names what no option takes: {error}")))?;
        Ok((note, texts))
    }

    /// Refuses what is not what the picture was made with.
    ///
    /// # Errors
    /// Where the model, its guide or a file of the drawing is another one.
    pub fn check(&self, model: &Model) -> Result<()> {
        let folder = model.folder.display();
        if model.hash()? != self.model {
            return Err(setting(format!(
                "{folder}: not the model that drew this picture; name the one with --run"
            )));
        }
        if model.guide.as_deref().map(Model::hash).transpose()? != self.guide {
            return Err(option("guide-with", " is not the model that this picture was guided with"));
        }
        for (path, hash) in &self.files {
            if hash_of(path)? != *hash {
                return Err(setting(format!(
                    "{}: not what it was when this picture was made",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}
