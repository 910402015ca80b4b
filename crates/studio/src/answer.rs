//! Answering by the name of a request, wherever the page is.

use crate::answers::Answers;
use crate::asked::{self, ClassifyBody, DrawBody, PictureBody};
use crate::cancel::Cancel;
use crate::file::{self, File};
use crate::refusal::Refusal;
use crate::{draw, model, note, steps};
use serde_json::Value;

/// A part of an answer.
pub enum Said {
    /// A line of a drawing, or a whole answer.
    Json(Value),
    /// A file to save.
    File(File),
}

impl Answers<'_> {
    /// Answers a request of one page without a server: its name is the last part of the address, and the body is as it
    /// would be sent. A drawing says several things, each as soon as it is ready; all else is one.
    ///
    /// # Errors
    /// What a server would refuse, with the same words.
    pub fn answer(&self, request: &str, body: &[u8], mut say: impl FnMut(Said)) -> Result<(), Refusal> {
        let cancel = Cancel::default();
        let drawn = || {
            let asked: DrawBody = asked::read(body)?;
            let wanted = asked.wanted(self.program)?;
            match wanted.drawing.guide_with {
                Some(_) => Err(Refusal::absent("guide-with: this page holds one model").of("guide-with")),
                None => Ok((asked, wanted)),
            }
        };
        say(match request {
            "draw" => {
                let (asked, wanted) = drawn()?;
                return draw::draw(self, &wanted, asked.draft, &cancel, |line| say(Said::Json(line)));
            }
            "steps" => {
                let (asked, wanted) = drawn()?;
                Said::Json(steps::steps(self, &wanted, asked.index.unwrap_or(0), &cancel)?)
            }
            "file" => {
                let (asked, wanted) = drawn()?;
                Said::File(file::file(self, &wanted, (asked.form, asked.index), &cancel)?)
            }
            "command" => {
                let (asked, wanted) = drawn()?;
                Said::Json(file::command(self, &wanted, asked.form)?)
            }
            "classify" => {
                let asked: ClassifyBody = asked::read(body)?;
                Said::Json(note::classified(self.model, asked.raster()?, &cancel)?)
            }
            "note" => {
                let asked: PictureBody = asked::read(body)?;
                Said::Json(note::note(&asked.bytes()?)?)
            }
            "model" => {
                let name = self.model.folder.display().to_string();
                Said::Json(model::model(self.model, &name, &[])?)
            }
            _ => return Err(Refusal::absent("there is no such request")),
        });
        Ok(())
    }
}
