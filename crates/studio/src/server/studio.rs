//! What all requests share.

use crate::answers::Answers;
use crate::refusal::Refusal;
use crate::server::models::Models;
use crate::server::places::Places;
use crate::server::work::Queue;
use duet_diffusion::{Drawing, Model};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Images of a drawing that are drawn at once, and shown as soon as they are.
const BATCH: usize = 16;

/// Places, open models and the queue.
pub struct Studio {
    pub places: Places,
    pub models: Models,
    pub queue: Queue,
    /// Bytes that large bodies may still have, all together.
    pub bodies: Arc<Semaphore>,
    /// How commands call the program.
    pub program: String,
}

impl Studio {
    /// Does something with the model of a drawing.
    pub fn with_model<T>(
        &self,
        drawing: &Drawing,
        answer: impl FnOnce(&Answers<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let model: Arc<Model> = self.models.of(drawing, &self.places)?;
        answer(&Answers { model: &model, batch: BATCH, program: &self.program })
    }
}
