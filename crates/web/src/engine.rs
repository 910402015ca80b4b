//! A model in memory that answers requests.

use duet_diffusion::{Device, Model, ModelFiles};
use duet_studio::{Answers, Refusal, Said};
use serde_json::json;

/// Images that are drawn at once: one thread shows the first ones sooner so.
const BATCH: usize = 4;

/// A model that answers what the page asks.
pub struct Engine {
    model: Model,
    program: String,
}

/// What the page is told, in the order it comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// JSON: a line of a drawing, or a whole answer.
    Json(Vec<u8>),
    /// A file to save, behind the JSON of its name and kind.
    File(Vec<u8>),
    /// JSON: why there is no answer.
    Refused(Vec<u8>),
}

impl Engine {
    /// Opens the model of a page: its [`ModelFiles`] as JSON, and the bytes of its weights' file. `program` is how
    /// commands call Duet.
    ///
    /// # Errors
    /// Where a file is damaged, in words.
    pub fn open(files: &[u8], weights: &[u8], program: &str) -> Result<Self, String> {
        let files: ModelFiles =
            serde_json::from_slice(files).map_err(|error| format!("the model of this page: {error}"))?;
        let model = files.open(weights, &Device::Cpu).map_err(|error| error.chain())?;
        Ok(Self { model, program: program.into() })
    }

    /// Answers a request: the last part of its address under `/api/`, and its body.
    pub fn ask(&self, request: &str, body: &[u8], mut reply: impl FnMut(Reply)) {
        let answers = Answers { model: &self.model, batch: BATCH, program: &self.program };
        let answered = answers.answer(request, body, |said| match said {
            Said::Json(value) => reply(Reply::Json(value.to_string().into_bytes())),
            Said::File(file) => {
                let head = json!({"name": file.name, "kind": file.kind});
                reply(Reply::Json(head.to_string().into_bytes()));
                reply(Reply::File(file.bytes));
            }
        });
        if let Err(refusal) = answered {
            reply(refused(&refusal));
        }
    }
}

fn refused(refusal: &Refusal) -> Reply {
    Reply::Refused(refusal.to_json().to_string().into_bytes())
}
