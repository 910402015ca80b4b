//! A run's event file, which TensorBoard shows: configuration, metrics and previews once more.
//!
//! The file follows from the run's other files, but for the clock's time and the speed of each step. A run that goes
//! on puts it right by them, so that it has every step of the metrics exactly once, whatever became of it.

use crate::error::Result;
use crate::tensorboard::{Event, Value, sides};
use crate::tfrecord::Records;
use duet_train::TrainError;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Name of the file in a run's folder: TensorBoard looks for `tfevents`, and other readers for a number behind it.
pub const EVENT_FILE: &str = "events.out.tfevents.0.duet";
/// The tag of the training's speed, which the metrics do not have.
const SPEED: &str = "train/images_per_second";
/// A longer event has a picture: it tells nothing that a step's own does not.
const MOST_BYTES: u64 = 1 << 20;
/// A larger preview is none.
const MAX_PREVIEW: u64 = 1 << 30;
/// Seconds from a step to the next at the least, whatever the clock says: Aim takes no step that is not later than the
/// one before it.
const TICK: f64 = 1e-5;

/// What of a run the file follows from.
pub struct Sources<'a> {
    /// The text of the configuration.
    pub config: &'a str,
    /// Lines of the metrics.
    pub metrics: &'a [u8],
    /// The pictures of steps.
    pub previews: &'a BTreeMap<u64, PathBuf>,
}

/// The open file.
pub struct Board {
    path: PathBuf,
    file: File,
    /// Of the last step.
    wall_time: f64,
}

impl Board {
    /// Opens the file of a run, to add events that are later than the time of its last one.
    pub fn open(run: &Path, last: f64) -> Result<Self> {
        let path = run.join(EVENT_FILE);
        let file = duet_files::append(&path).map_err(write_error(&path))?;
        Ok(Self { path, file, wall_time: last })
    }

    /// Makes the file say what its sources do, and nothing else; the time of the last event. Where it begins with that,
    /// it is cut behind it and not replaced: a reader goes on where it was.
    pub fn put_right(run: &Path, sources: &Sources) -> Result<f64> {
        let path = run.join(EVENT_FILE);
        let clock = Clock::read(&path);
        let mut there = Compared::open(&path);
        let last = sources.compose(&clock, &mut there).map_err(write_error(&path))?;
        let written = match there.same {
            true => duet_files::append(&path).and_then(|file| file.set_len(there.length)),
            false => duet_files::write_whole(&path, |file| {
                let mut file = BufWriter::new(file);
                sources.compose(&clock, &mut file)?;
                file.flush()
            }),
        };
        written.map_err(write_error(&path))?;
        Ok(last)
    }

    /// Adds a step by its line of the metrics.
    pub fn step(&mut self, line: &str, images_per_second: f64) -> Result<()> {
        self.wall_time = now().max(self.wall_time + TICK);
        let speed = Some(images_per_second as f32);
        let times = Times { wall_time: self.wall_time, speed };
        self.add(numbers_of(line.as_bytes()).map(|(step, numbers)| of_step(step, &numbers, times)))
    }

    /// Adds the preview of the last step.
    pub fn preview(&mut self, step: u64, png: Vec<u8>) -> Result<()> {
        self.add(of_preview(step, self.wall_time, png))
    }

    /// Makes sure that it is on disk.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_all().map_err(write_error(&self.path))?)
    }

    fn add(&mut self, event: Option<Event>) -> Result<()> {
        let record = event.map_or(Vec::new(), |event| event.record());
        Ok(self.file.write_all(&record).map_err(write_error(&self.path))?)
    }
}

impl Sources<'_> {
    /// Writes the file that follows from them; the time of its last event.
    fn compose(&self, clock: &Clock, file: &mut impl Write) -> io::Result<f64> {
        let mut wall_time = clock.begun;
        let version = Event { wall_time, step: 0, values: Vec::new() };
        let text = Value::Text(format!("```toml\n{}```\n", self.config));
        let config = Event { wall_time, step: 0, values: vec![("config".into(), text)] };
        file.write_all(&version.record())?;
        file.write_all(&config.record())?;
        for line in self.metrics.split(|&byte| byte == b'\n') {
            let Some((step, numbers)) = numbers_of(line) else { continue };
            let known = clock.steps.get(&step);
            wall_time = known.map_or(0.0, |times| times.wall_time).max(wall_time + TICK);
            let times = Times { wall_time, speed: known.and_then(|times| times.speed) };
            let picture = self.previews.get(&step).and_then(|path| duet_files::read(path, MAX_PREVIEW).ok());
            let preview = picture.and_then(|png| of_preview(step, wall_time, png));
            for event in std::iter::once(of_step(step, &numbers, times)).chain(preview) {
                file.write_all(&event.record())?;
            }
        }
        Ok(wall_time)
    }
}

/// What the clock said at a step; nothing else in the file is not in the run's other files.
#[derive(Clone, Copy)]
struct Times {
    wall_time: f64,
    speed: Option<f32>,
}

/// What the clock said at each step of a file.
struct Clock {
    /// When the file was begun.
    begun: f64,
    steps: HashMap<u64, Times>,
}

impl Clock {
    /// Of a file as far as it is whole; now, and no steps, where there is none.
    fn read(path: &Path) -> Self {
        let (mut begun, mut steps) = (None, HashMap::new());
        let records = open(path).map(|(file, length)| Records::new(file, length, MOST_BYTES));
        let whole = records.into_iter().flatten().map_while(io::Result::ok);
        let events = whole.filter_map(|data| Event::of(&data)).filter(|event| event.wall_time.is_finite());
        for Event { wall_time, step, values } in events {
            begun = begun.or(Some(wall_time));
            if values.iter().any(|(_, value)| matches!(value, Value::Scalar(_))) {
                let speed = values.iter().find_map(|(tag, value)| match value {
                    Value::Scalar(speed) if tag == SPEED => Some(*speed),
                    _ => None,
                });
                steps.insert(step, Times { wall_time, speed });
            }
        }
        Self { begun: begun.unwrap_or_else(now), steps }
    }
}

/// Compares what is written with what a file has.
struct Compared {
    file: Option<BufReader<File>>,
    same: bool,
    length: u64,
}

impl Compared {
    fn open(path: &Path) -> Self {
        let file = open(path).map(|(file, _)| file);
        Self { same: file.is_some(), file, length: 0 }
    }
}

impl Write for Compared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.same {
            let mut there = vec![0; bytes.len()];
            let read = self.file.as_mut().map(|file| file.read_exact(&mut there));
            self.same = matches!(read, Some(Ok(()))) && there == bytes;
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> Option<(BufReader<File>, u64)> {
    let file = duet_files::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    Some((BufReader::new(file), length))
}

/// The step of a line of the metrics, and what the line says of it; none where it is no such line.
fn numbers_of(line: &[u8]) -> Option<(u64, Map<String, Json>)> {
    let Json::Object(numbers) = serde_json::from_slice(line).ok()? else { return None };
    Some((numbers.get("step")?.as_u64()?, numbers))
}

/// The event of a step.
fn of_step(step: u64, numbers: &Map<String, Json>, Times { wall_time, speed }: Times) -> Event {
    let mut values = Vec::new();
    for (key, value) in numbers {
        match key.as_str() {
            "step" => {}
            "held_out_loss" => add_numbers("held_out/loss", value, &mut values),
            "score" => add_numbers("eval", value, &mut values),
            "memorisation" => add_numbers("copies", value, &mut values),
            _ => add_numbers(&format!("train/{key}"), value, &mut values),
        }
    }
    values.extend(speed.map(|speed| (SPEED.to_string(), Value::Scalar(speed))));
    Event { wall_time, step, values }
}

/// Every number under a key, with the keys that lead to it as its tag.
fn add_numbers(tag: &str, value: &Json, values: &mut Vec<(String, Value)>) {
    if let Some(number) = value.as_f64() {
        values.push((tag.into(), Value::Scalar(number as f32)));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        add_numbers(&format!("{tag}/{key}"), value, values);
    }
}

/// The event of a preview; none where it is no PNG.
fn of_preview(step: u64, wall_time: f64, png: Vec<u8>) -> Option<Event> {
    sides(&png)?;
    Some(Event { wall_time, step, values: vec![("preview".into(), Value::Picture(png))] })
}

/// In seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    move |cause| TrainError::Write { path: path.into(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorboard::read;

    const LINES: &str = r#"{"step":1,"loss":0.5,"grad_norm":2.0,"learning_rate":0.001}
{"step":2,"loss":0.25,"grad_norm":1.0,"learning_rate":0.002,"held_out_loss":0.75}
{"step":3,"loss":0.125,"grad_norm":0.5,"learning_rate":0.0}
"#;

    fn put_right(run: &Path, lines: usize) -> Vec<u8> {
        let metrics: String = LINES.split_inclusive('\n').take(lines).collect();
        let sources = Sources {
            config: "[train]\n",
            metrics: metrics.as_bytes(),
            previews: &BTreeMap::from([(2, run.join("step-000002.png"))]),
        };
        Board::put_right(run, &sources).unwrap();
        std::fs::read(run.join(EVENT_FILE)).unwrap()
    }

    #[test]
    fn every_number_of_the_metrics_has_a_tag() {
        let line = r#"{"step":7,"loss":0.5,"held_out_loss":0.25,"new":1,"score":{"accuracy":0.75},
            "memorisation":{"copied_share":0.0,"copied_by_class":{"left/right":0.5}}}"#;
        let (step, numbers) = numbers_of(line.as_bytes()).unwrap();
        let event = of_step(step, &numbers, Times { wall_time: 1.0, speed: Some(9.0) });
        let expected = [
            ("train/loss", 0.5),
            ("held_out/loss", 0.25),
            ("train/new", 1.0),
            ("eval/accuracy", 0.75),
            ("copies/copied_share", 0.0),
            ("copies/copied_by_class/left/right", 0.5),
            (SPEED, 9.0),
        ];
        assert_eq!((event.step, event.wall_time), (7, 1.0));
        assert_eq!(event.values, expected.map(|(tag, number)| (tag.to_string(), Value::Scalar(number))));
    }

    #[test]
    fn a_file_is_made_cut_and_made_again_with_times_that_rise() {
        let dir = tempfile::tempdir().unwrap();
        let whole = put_right(dir.path(), 3);
        assert_eq!(put_right(dir.path(), 3), whole);
        let cut = put_right(dir.path(), 2);
        assert_eq!(cut, whole[..cut.len()]);
        let mut board = Board::open(dir.path(), 4e9).unwrap();
        board.step(LINES.lines().nth(2).unwrap(), 30.0).unwrap();
        let events = read(&dir.path().join(EVENT_FILE)).unwrap();
        let steps: Vec<u64> = events.iter().map(|event| event.step).collect();
        assert_eq!(steps, [0, 0, 1, 2, 3], "what is no picture is left out");
        let times: Vec<f64> = events[1..].iter().map(|event| event.wall_time).collect();
        assert!(times.is_sorted_by(|before, after| before < after), "{times:?}");
        assert_eq!(times[3], 4e9 + TICK, "a clock that is behind does not take it back");
        assert!(events[4].values.contains(&(SPEED.into(), Value::Scalar(30.0))));
        // A bit of the first step's length: its own time is lost, and all after it.
        let mut damaged = std::fs::read(dir.path().join(EVENT_FILE)).unwrap();
        let at = events[..2].iter().map(|event| event.record().len()).sum::<usize>();
        damaged[at] ^= 1;
        std::fs::write(dir.path().join(EVENT_FILE), damaged).unwrap();
        assert_eq!(put_right(dir.path(), 3), whole);
    }
}
