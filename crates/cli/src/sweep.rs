//! `cargo xtask sweep`: a table and a contact sheet over any two flags of `sample`.

use crate::drawing::Drawing;
use crate::exit::usage;
use crate::model_folder;
use crate::note::{Form, Note};
use crate::plan::{Models, Plan};
use crate::progress::Progress;
use crate::sample::write_atomically;
use crate::score::Score;
use crate::terminal::out;
use crate::yardstick::Yardstick;
use crate::{hardware, run_folder};
use anyhow::{Context, Result};
use candle_core::Device;
use duet_data::{Captions, Picture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Flags of `sweep`.
#[derive(clap::Args)]
pub struct Args {
    /// What differs from row to row: a flag of `sample` and its values, such as guidance=1,2,4, or
    /// sharpness, interval-low or interval-high; values with commas are separated by semicolons
    #[arg(long, value_name = "FLAG=VALUES", allow_hyphen_values = true)]
    rows: String,
    /// What differs from column to column
    #[arg(long, value_name = "FLAG=VALUES", allow_hyphen_values = true)]
    columns: Option<String>,
    /// Images of each cell that are scored by `eval`'s quick metrics, spread over all classes; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0)]
    score: usize,
    #[command(flatten)]
    drawing: Drawing,
    /// Where sheet.png, table.csv and what is done of them go; run again, the sweep goes on
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    /// Images in one pass through the network; they do not depend on it
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
}

/// A flag and the values it takes.
struct Axis {
    key: String,
    values: Vec<String>,
}

/// What is kept of a cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cell {
    /// Network evaluations of one image.
    evaluations: f64,
    images_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Score>,
}

/// What differs between the cells of a sweep.
pub struct Axes {
    rows: Axis,
    columns: Axis,
    /// Whether anything was asked to differ from column to column.
    has_columns: bool,
}

impl Axes {
    /// As `--rows` and `--columns` say it.
    pub fn new(rows: &str, columns: Option<&str>, drawing: &Drawing) -> Result<Self> {
        Ok(Self {
            rows: axis("--rows", rows)?,
            columns: match columns {
                Some(text) => axis("--columns", text)?,
                None => Axis { key: "seeds".into(), values: vec![drawing.seeds.clone()] },
            },
            has_columns: columns.is_some(),
        })
    }

    /// How many cells there are.
    pub fn count(&self) -> usize {
        self.rows.values.len().saturating_mul(self.columns.values.len())
    }

    /// What is drawn in each cell, row by row; the sheet has the captions.
    pub fn cells(&self, drawing: &Drawing) -> Result<Vec<Drawing>> {
        let mut cells = Vec::new();
        for row in &self.rows.values {
            for column in &self.columns.values {
                let drawing = varied(drawing, &self.rows.key, row).context("--rows")?;
                let drawing = varied(&drawing, &self.columns.key, column).context("--columns")?;
                cells.push(Drawing { no_captions: true, ..drawing });
            }
        }
        Ok(cells)
    }

    /// The pictures of all cells beside and below each other.
    pub fn sheet(&self, pictures: Vec<Picture>) -> Result<Picture> {
        let names = |axis: &Axis| axis.values.iter().map(|value| format!("{} {value}", axis.key)).collect();
        let captions = Captions {
            title: String::new(),
            rows: names(&self.rows),
            columns: if self.has_columns { names(&self.columns) } else { Vec::new() },
        };
        Ok(Picture::captioned_grid(&padded(pictures)?, self.columns.values.len(), 1, &captions)?)
    }
}

/// The model of each cell in turn, loaded again where it is another one.
#[derive(Default)]
pub struct Loaded(Option<((String, Option<String>), Models)>);

impl Loaded {
    /// The models that the drawing names.
    pub fn of(&mut self, drawing: &Drawing, device: &Device) -> Result<&Models> {
        let named = (drawing.run.clone(), drawing.guide_with.clone());
        let loaded = match self.0.take().filter(|(before, _)| *before == named) {
            Some(loaded) => loaded,
            None => (named, Models::load(drawing, device)?),
        };
        Ok(&self.0.insert(loaded).1)
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let axes = Axes::new(&args.rows, args.columns.as_deref(), &args.drawing)?;
    let drawings = axes.cells(&args.drawing)?;
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let cells = args.out.join("cells");
    std::fs::create_dir_all(&cells).with_context(|| format!("cannot make {}", cells.display()))?;
    let sweep = Sweep { args: &args, device: &device, cells };
    let (pictures, done) = sweep.cells(&drawings)?;
    let sheet = args.out.join("sheet.png");
    axes.sheet(pictures)?.write_png_with(&sheet, &sweep.texts(&drawings[0].run)?)?;
    let table = args.out.join("table.csv");
    write_atomically(&table, csv(&axes, &done).as_bytes())?;
    crate::terminal::print_out(format_args!("{}", csv(&axes, &done)), "");
    out!("{} cells: {} and {}", done.len(), sheet.display(), table.display());
    Ok(())
}

fn axis(flag: &str, text: &str) -> Result<Axis> {
    let wrong = || usage(format!("{flag} {text}: a flag of sample and its values, such as guidance=1,2,4"));
    let (key, values) = text.split_once('=').ok_or_else(wrong)?;
    let separator = if values.contains(';') { ';' } else { ',' };
    let values: Vec<String> = values.split(separator).map(|value| value.trim().to_string()).collect();
    match values.iter().any(String::is_empty) {
        true => Err(wrong()),
        false => Ok(Axis { key: key.trim_start_matches('-').into(), values }),
    }
}

/// The drawing with another value of one of its flags.
fn varied(drawing: &Drawing, key: &str, value: &str) -> Result<Drawing> {
    let (low, high) =
        drawing.interval.as_deref().and_then(|text| text.split_once(':')).unwrap_or(("0", "inf"));
    let (key, value) = match key {
        "sharpness" => ("spacing", format!("sigmoid:{value}")),
        "interval-low" => ("interval", format!("{value}:{high}")),
        "interval-high" => ("interval", format!("{low}:{value}")),
        _ => (key, value.to_string()),
    };
    let mut keys = match serde_json::to_value(drawing)? {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    // Pictures do not note it: what it stands for is noted.
    if !keys.contains_key(key) && key != "preset" {
        let known = keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(usage(format!("{key}: no flag of sample that decides what it draws; those are {known}")));
    }
    // As a word, as a number, as a list of one or as a switch: whichever the flag takes.
    let number = serde_json::from_str::<Value>(&value).ok();
    let readings =
        [Some(Value::String(value.clone())), number.clone(), number.map(|number| Value::Array(vec![number]))];
    for reading in readings.into_iter().flatten() {
        keys.insert(key.into(), reading);
        if let Ok(drawing) = serde_json::from_value::<Drawing>(Value::Object(keys.clone())) {
            drawing.check()?;
            return Ok(drawing);
        }
    }
    Err(usage(format!("{key}={value}: no value that --{key} takes")))
}

struct Sweep<'a> {
    args: &'a Args,
    device: &'a Device,
    cells: PathBuf,
}

impl Sweep<'_> {
    /// Pictures and numbers of all cells, of those that were done before from their files.
    fn cells(&self, drawings: &[Drawing]) -> Result<(Vec<Picture>, Vec<Cell>)> {
        let yardstick = match self.args.score {
            0 => None,
            _ => Some(Yardstick::new(run_folder::of(&drawings[0].run)?.as_deref(), "--score")?),
        };
        let mut progress = Progress::new(0, drawings.len() as u64, 1, "cells/s");
        let (mut pictures, mut done, mut loaded) = (Vec::new(), Vec::new(), Loaded::default());
        for (i, drawing) in drawings.iter().enumerate() {
            let models = loaded.of(drawing, self.device)?;
            let (picture, cell) = self.cell(drawing, models, yardstick.as_ref())?;
            pictures.push(picture);
            done.push(cell);
            progress.show(i as u64 + 1, "");
        }
        progress.finish();
        Ok((pictures, done))
    }

    /// What the sheet says of itself: the model is that of the first cell, which `run` names, whatever
    /// the others have.
    fn texts(&self, run: &str) -> Result<Vec<(&'static str, String)>> {
        let model = model_folder::load(run, self.device)?;
        let form = Form::Sweep { rows: self.args.rows.clone(), columns: self.args.columns.clone() };
        let drawing = Drawing { run: run.into(), ..self.args.drawing.clone() };
        Note::new(&drawing, &model, None)?.texts(form, "a sweep", &self.args.rows)
    }

    fn cell(
        &self,
        drawing: &Drawing,
        models: &Models,
        yardstick: Option<&Yardstick>,
    ) -> Result<(Picture, Cell)> {
        let plan = Plan::new(drawing, models, self.args.batch, self.device)?;
        let asked = match yardstick {
            None => serde_json::to_string(&(&plan.note, self.args.score))?,
            Some(yardstick) => serde_json::to_string(&(&plan.note, self.args.score, yardstick.key()))?,
        };
        let name = blake3::hash(asked.as_bytes()).to_hex();
        let (picture_path, cell_path) =
            (self.cells.join(format!("{name}.png")), self.cells.join(format!("{name}.json")));
        if let Some(found) = found(&picture_path, &cell_path) {
            return Ok(found);
        }
        let started = std::time::Instant::now();
        let drawn = plan.draw(|_| Ok(()))?;
        let (count, seconds) = (plan.request.seeds.len() as f64, started.elapsed().as_secs_f64());
        let scores = match yardstick {
            Some(yardstick) => {
                let size = (self.args.score, self.args.batch);
                Some(Score::of(drawing, models, yardstick, size, self.device)?)
            }
            None => None,
        };
        let cell = Cell {
            evaluations: drawn.evaluations as f64 / count,
            images_per_second: count / seconds,
            scores,
        };
        let picture = plan.grid(&drawn.images)?;
        // The numbers last: where they are, the picture is.
        picture.write_png_with(&picture_path, &plan.texts(Form::Grid)?)?;
        write_atomically(&cell_path, &serde_json::to_vec(&cell)?)?;
        Ok((picture, cell))
    }
}

fn found(picture: &Path, cell: &Path) -> Option<(Picture, Cell)> {
    let cell = serde_json::from_slice(&std::fs::read(cell).ok()?).ok()?;
    Some((Picture::decode(&std::fs::read(picture).ok()?).ok()?, cell))
}

/// All pictures as large as the largest, white at the right and below.
fn padded(pictures: Vec<Picture>) -> Result<Vec<Picture>> {
    let largest = |side: fn(&Picture) -> usize| pictures.iter().map(side).max().unwrap_or(1);
    let (height, width) = (largest(|picture| picture.height), largest(|picture| picture.width));
    let channels = largest(|picture| picture.channels);
    pictures.iter().map(|picture| Ok(picture.padded(channels, height, width)?)).collect()
}

fn csv(Axes { rows, columns, .. }: &Axes, cells: &[Cell]) -> String {
    let scored = cells.iter().any(|cell| cell.scores.is_some());
    let mut text = format!("{},{},evaluations,images_per_second", rows.key, columns.key);
    if scored {
        text.push_str(",accuracy,frechet,precision,recall,density,coverage");
    }
    text.push('\n');
    let quoted = |value: &str| match value.contains([',', '"']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.into(),
    };
    for (i, cell) in cells.iter().enumerate() {
        let (row, column) =
            (&rows.values[i / columns.values.len()], &columns.values[i % columns.values.len()]);
        text.push_str(&format!(
            "{},{},{:.2},{:.1}",
            quoted(row),
            quoted(column),
            cell.evaluations,
            cell.images_per_second
        ));
        if let Some(Score { accuracy, frechet, precision, recall, density, coverage }) = &cell.scores {
            text.push_str(&format!(
                ",{accuracy:.4},{frechet:.3},{precision:.4},{recall:.4},{density:.4},{coverage:.4}"
            ));
        }
        text.push('\n');
    }
    text
}
