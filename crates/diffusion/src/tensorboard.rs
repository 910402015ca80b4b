//! The events that TensorBoard shows, as its files have them.

use crate::error::Result;
use crate::tfrecord::{Records, record};
use duet_files::protobuf::{Field, Message, fields};
use duet_train::TrainError;
use std::io::BufReader;
use std::path::Path;

/// What such a file begins with.
const VERSION: &str = "brain.Event:2";
/// `DT_STRING` of TensorFlow's types.
const STRING: u64 = 7;
/// A PNG's first bytes, up to its width.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// Something that happened after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// In seconds since 1970.
    pub wall_time: f64,
    /// Steps taken.
    pub step: u64,
    /// What it brought, each value with its tag; none for the event that begins a file.
    pub values: Vec<(String, Value)>,
}

/// A value of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f32),
    /// A picture, a whole PNG file.
    Picture(Vec<u8>),
    /// A text in Markdown.
    Text(String),
}

impl Event {
    /// The event as its file has it, with length and checksums.
    pub fn record(&self) -> Vec<u8> {
        let event = Message::new().double_but_0(1, self.wall_time).int_but_0(2, self.step);
        let event = match self.values.is_empty() {
            true => event.bytes(3, VERSION.as_bytes()),
            false => {
                let values = self.values.iter();
                event.message(
                    5,
                    &values.fold(Message::new(), |all, (tag, value)| all.message(1, &value.message(tag))),
                )
            }
        };
        record(&event.into_bytes())
    }

    /// The event of a record's data; none where it is no event.
    pub fn of(data: &[u8]) -> Option<Self> {
        let mut event = Self { wall_time: 0.0, step: 0, values: Vec::new() };
        for field in fields(data)? {
            match field {
                (1, Field::Eight(bytes)) => event.wall_time = f64::from_le_bytes(bytes),
                (2, Field::Integer(step)) => event.step = step,
                (5, Field::Bytes(summary)) => {
                    for (_, value) in fields(summary)? {
                        event.values.extend(bytes_of(value).and_then(tagged));
                    }
                }
                _ => {}
            }
        }
        Some(event)
    }
}

impl Value {
    /// `Summary.Value`. A text is a tensor that names its plugin; numbers and pictures are the older fields, which
    /// all readers know.
    fn message(&self, tag: &str) -> Message {
        let value = Message::new().text(1, tag);
        match self {
            Self::Scalar(number) => value.float(2, *number),
            Self::Picture(png) => {
                let [width, height, channels] = sides(png).unwrap_or_default();
                let image = Message::new().int_but_0(1, height).int_but_0(2, width).int_but_0(3, channels);
                value.message(4, &image.bytes(4, png))
            }
            Self::Text(text) => {
                let scalar = Message::new();
                let tensor = Message::new().int_but_0(1, STRING).message(2, &scalar).text(8, text);
                let plugin = Message::new().bytes(1, b"text");
                value.message(8, &tensor).message(9, &Message::new().message(1, &plugin))
            }
        }
    }
}

/// Width, height and channels of a PNG; none of another file.
pub fn sides(png: &[u8]) -> Option<[u64; 3]> {
    let header = png.strip_prefix(PNG)?.first_chunk::<10>()?;
    let side = |at: usize| u64::from(u32::from_be_bytes([0, 1, 2, 3].map(|i| header[at + i])));
    // Grey, colour, palette, and the first two with transparency.
    let channels = [(0, 1), (2, 3), (3, 3), (4, 2), (6, 4)];
    let (_, channels) = channels.into_iter().find(|(kind, _)| *kind == header[9])?;
    Some([side(0), side(4), channels])
}

fn bytes_of(field: Field<'_>) -> Option<&[u8]> {
    if let Field::Bytes(bytes) = field { Some(bytes) } else { None }
}

/// A tag and its value; none where it is of a kind that Duet does not write.
fn tagged(value: &[u8]) -> Option<(String, Value)> {
    let (mut tag, mut found) = (None, None);
    for field in fields(value)? {
        match field {
            (1, Field::Bytes(bytes)) => tag = String::from_utf8(bytes.to_vec()).ok(),
            (2, Field::Four(bytes)) => found = Some(Value::Scalar(f32::from_le_bytes(bytes))),
            (4, Field::Bytes(image)) => found = Some(Value::Picture(part(image, 4)?.to_vec())),
            (8, Field::Bytes(tensor)) => {
                found = Some(Value::Text(String::from_utf8(part(tensor, 8)?.to_vec()).ok()?));
            }
            _ => {}
        }
    }
    tag.zip(found)
}

/// The bytes of one field of a message.
fn part(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message)?.into_iter().find(|(field, _)| *field == number).and_then(|(_, field)| bytes_of(field))
}

/// The events of a file, in their order.
///
/// # Errors
/// Where the file cannot be read, or is torn or damaged.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let unreadable = |cause| TrainError::Read { path: path.into(), cause };
    let file = duet_files::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let records = Records::new(BufReader::new(file), length, u64::MAX);
    let mut events = Vec::new();
    for data in records {
        events.extend(Event::of(&data.map_err(unreadable)?));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// What TensorBoard's own writer made of these events: `python benches/event_files.py write FILE`.
    const WRITTEN: &[u8] = include_bytes!("../tests/diffusion/tensorboard.tfevents");

    fn picture() -> Vec<u8> {
        let start = WRITTEN.windows(8).position(|bytes| bytes == &PNG[..8]).unwrap();
        // The checksum of the record comes after the picture.
        WRITTEN[start..WRITTEN.len() - 4].to_vec()
    }

    fn events() -> Vec<Event> {
        let event = |wall_time, step, values| Event { wall_time, step, values };
        let value = |tag: &str, value| (tag.to_string(), value);
        vec![
            event(1.5, 0, Vec::new()),
            event(1.5, 0, vec![value("config", Value::Text("**bold**".into()))]),
            event(
                1_764_000_000.25,
                1,
                vec![
                    value("train/loss", Value::Scalar(0.75)),
                    value("train/learning_rate", Value::Scalar(0.0)),
                ],
            ),
            event(1_764_000_001.0, 300, vec![value("preview", Value::Picture(picture()))]),
        ]
    }

    #[test]
    fn events_have_the_bytes_that_tensorboard_gives_them() {
        assert_eq!(sides(&picture()), Some([2, 1, 1]));
        let written: Vec<u8> = events().iter().flat_map(Event::record).collect();
        assert_eq!(written, WRITTEN);
    }

    #[test]
    fn what_tensorboard_wrote_is_read_and_damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("events");
        std::fs::write(&path, WRITTEN).unwrap();
        assert_eq!(read(&path).unwrap(), events());
        std::fs::write(&path, &WRITTEN[..WRITTEN.len() - 1]).unwrap();
        let error = read(&path).unwrap_err().chain();
        assert!(error.contains("a record is torn or damaged"), "{error}");
    }

    #[test]
    fn no_mutation_of_an_event_panics() {
        let data: Vec<Vec<u8>> =
            Records::new(WRITTEN, WRITTEN.len() as u64, u64::MAX).map(Result::unwrap).collect();
        for index in 0..10_000 {
            let mut draws = duet_random::Draws::new(0, "events", index);
            let mut bytes = data[draws.below(data.len() as u64) as usize].clone();
            for _ in 0..=draws.below(3) {
                let at = draws.below(bytes.len() as u64) as usize;
                bytes[at] = draws.below(256) as u8;
            }
            bytes.truncate(draws.below(2 * bytes.len() as u64) as usize);
            let _ = Event::of(&bytes);
        }
    }
}
