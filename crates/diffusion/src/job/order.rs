//! What rank 0 asks of the others, and what they answer: a line of JSON, and bytes behind it.

use crate::drawing::Drawing;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;

/// What all of the other ranks are asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Make a trainer in the state of the bytes behind.
    Train(TrainOrder),
    /// Take a step on these training images.
    Step { images: Vec<u64> },
    /// Take a step towards what a teacher says of states. The bytes behind are x_t and then x̂_0, each of this shape.
    Lesson { shape: Vec<usize>, timesteps: Vec<usize>, labels: Option<Vec<u32>> },
    /// Have the teacher of this run, of its [`ModelFiles`](crate::ModelFiles). The bytes behind are its weights.
    Teacher { config: String, model: Value },
    /// Draw parts of the teacher's set of this number. The bytes behind are the student's weights; none for the teacher's own
    /// trajectories.
    Trajectories { number: u64 },
    /// Open a model, of its [`ModelFiles`](crate::ModelFiles). The bytes behind are its weights, so many, and then those of the
    /// model that leads it away.
    Open { model: Value, weights: usize, guide: Option<Value> },
    /// Draw parts of this until there are no more.
    Draw { drawing: Box<Drawing>, batch: usize },
    /// End with this code.
    End { code: u8 },
}

/// A trainer that is to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrainOrder {
    /// The run's configuration.
    pub config: String,
    /// The fingerprint of the training images.
    pub training: String,
    /// That of the held-out images.
    pub held_out: String,
    pub low_memory: bool,
    /// Of each rank, and so its share of a step.
    pub threads: Vec<usize>,
}

/// A part of a drawing that one rank draws.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Images by their places in the whole.
    Images(Range<usize>),
    /// Images with a plan's settings, of these labels and seeds.
    Of { labels: Option<Vec<u32>>, seeds: Vec<u64> },
}

/// What one rank is told while all draw.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Draw this part, and answer with its number.
    Draw { number: usize, part: Part },
    /// There is no more.
    Done,
    /// Leave what is being drawn: nobody wants it any more.
    Leave,
}

/// What a rank answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It has the trainer.
    Ready,
    /// The images of the part with this number are in the bytes behind.
    Drawn { part: usize, evaluations: usize },
    /// It has left what it drew.
    Left,
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        read(bytes)
    }
}

/// Values as bytes, little-endian.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of bytes; of a number that is no multiple of four, an error.
pub(crate) fn values_of(bytes: &[u8]) -> Result<Vec<f32>, String> {
    match bytes.as_chunks() {
        (values, []) => Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect()),
        _ => Err(format!("{} bytes are no values", bytes.len())),
    }
}

/// A message with the bytes behind it.
pub(crate) fn to_bytes(message: &impl Serialize, payload: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// A message, and the bytes behind it.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), String> {
    // JSON has no line break where none is written.
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("no end of its first line")?;
    let message = serde_json::from_slice(&bytes[..end]).map_err(|error| error.to_string())?;
    Ok((message, &bytes[end + 1..]))
}
