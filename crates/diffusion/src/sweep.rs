//! A table and a contact sheet over any two options of a drawing.

use crate::compare_table::quoted;
use crate::drawing::Drawing;
use crate::error::{Result, Within, option, setting};
use crate::files::{create_folder, write_atomically};
use crate::find;
use crate::inputs;
use crate::job::lead::Job;
use crate::metrics::Score;
use crate::model::Model;
use crate::note::{Form, Note};
use crate::plan::Plan;
use crate::score::score;
use crate::yardstick::Yardstick;
use candle_core::Device;
use duet_data::{Captions, Picture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A longer file has no numbers of a cell.
const MAX_CELL: u64 = 1 << 16;

/// An option and the values it takes.
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
    /// As texts such as "guidance=1,2,4" say it: an option of a drawing and its values, or `sharpness`,
    /// `interval-low` or `interval-high`; values with commas are separated by semicolons.
    ///
    /// # Errors
    /// Where a text is none of these.
    pub fn new(rows: &str, columns: Option<&str>, drawing: &Drawing) -> Result<Self> {
        Ok(Self {
            rows: axis("rows", rows)?,
            columns: match columns {
                Some(text) => axis("columns", text)?,
                None => Axis { key: "seeds".into(), values: vec![drawing.seeds.to_string()] },
            },
            has_columns: columns.is_some(),
        })
    }

    /// How many cells there are.
    pub fn count(&self) -> usize {
        self.rows.values.len().saturating_mul(self.columns.values.len())
    }

    /// What is drawn in each cell, row by row; the sheet has the captions.
    ///
    /// # Errors
    /// Where a value is none of its option.
    pub fn cells(&self, drawing: &Drawing) -> Result<Vec<Drawing>> {
        let mut cells = Vec::new();
        for row in &self.rows.values {
            for column in &self.columns.values {
                let drawing = varied(drawing, &self.rows.key, row).in_option("rows")?;
                let drawing = varied(&drawing, &self.columns.key, column).in_option("columns")?;
                cells.push(Drawing { no_captions: true, ..drawing });
            }
        }
        Ok(cells)
    }

    /// The pictures of all cells beside and below each other.
    ///
    /// # Errors
    /// Where there is no picture, or the sheet would be too large.
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

/// The model of each cell in turn, opened again where it is another one.
#[derive(Default)]
pub(crate) struct Opened(Option<((String, Option<String>), Model)>);

impl Opened {
    /// The model that the drawing names, with its guide.
    pub(crate) fn of(&mut self, drawing: &Drawing, device: &Device, job: Option<&Job>) -> Result<&Model> {
        let named = (drawing.run.clone(), drawing.guide_with.clone());
        let opened = match self.0.take().filter(|(before, _)| *before == named) {
            Some(opened) => opened,
            None => (named, Model { job: job.cloned(), ..Model::of(drawing, device)? }),
        };
        Ok(&self.0.insert(opened).1)
    }
}

/// What is swept, and where what is done of it goes: a sweep that is run again goes on.
pub struct Sweep<'a> {
    /// What differs from row to row.
    pub rows: &'a str,
    /// And from column to column.
    pub columns: Option<&'a str>,
    /// All else.
    pub drawing: &'a Drawing,
    /// Images of each cell that are scored, spread over all classes; 0 for none.
    pub score: usize,
    /// Images at once.
    pub batch: usize,
    /// The folder.
    pub out: &'a Path,
    /// Where the models are.
    pub device: &'a Device,
    /// The ranks that draw together; none where this process is alone.
    pub job: Option<Job>,
}

/// What a sweep wrote.
pub struct Swept {
    /// How many cells there are.
    pub cells: usize,
    /// The contact sheet.
    pub sheet: PathBuf,
    /// The table as CSV.
    pub table: PathBuf,
    /// The table's text.
    pub csv: String,
}

impl Sweep<'_> {
    /// Draws and scores every cell; `on_cell` sees how many are done, of how many: before the first, and
    /// after each.
    ///
    /// # Errors
    /// Where an axis is none, a cell cannot be drawn, or the folder cannot be written.
    pub fn run(&self, mut on_cell: impl FnMut(usize, usize)) -> Result<Swept> {
        let axes = Axes::new(self.rows, self.columns, self.drawing)?;
        let drawings = axes.cells(self.drawing)?;
        create_folder(&self.cells_folder())?;
        let yardstick = match self.score {
            0 => None,
            _ => Some(Yardstick::new(find::run_of(&drawings[0].run)?.as_deref(), "score")?),
        };
        let yardstick = yardstick.map(|yardstick| (yardstick.key(), yardstick));
        let (mut pictures, mut cells, mut opened) = (Vec::new(), Vec::new(), Opened::default());
        on_cell(0, drawings.len());
        for (i, drawing) in drawings.iter().enumerate() {
            let model = opened.of(drawing, self.device, self.job.as_ref())?;
            let (picture, cell) = self.cell(drawing, model, yardstick.as_ref())?;
            pictures.push(picture);
            cells.push(cell);
            on_cell(i + 1, drawings.len());
        }
        let (sheet, table) = (self.out.join("sheet.png"), self.out.join("table.csv"));
        axes.sheet(pictures)?.write_png_with(&sheet, &self.texts(&drawings[0].run)?)?;
        let csv = csv(&axes, &cells);
        write_atomically(&table, csv.as_bytes())?;
        Ok(Swept { cells: cells.len(), sheet, table, csv })
    }

    fn cells_folder(&self) -> PathBuf {
        self.out.join("cells")
    }

    /// What the sheet says of itself: the model is that of the first cell, which `run` names, whatever
    /// the others have.
    fn texts(&self, run: &str) -> Result<Vec<(&'static str, String)>> {
        let model = Model::open(run, self.device)?;
        let form = Form::Sweep { rows: self.rows.into(), columns: self.columns.map(String::from) };
        let drawing = Drawing { run: run.into(), ..self.drawing.clone() };
        Note::new(&drawing, &model)?.texts(form, "a sweep", self.rows)
    }

    fn cell(
        &self,
        drawing: &Drawing,
        model: &Model,
        yardstick: Option<&(String, Yardstick)>,
    ) -> Result<(Picture, Cell)> {
        let plan = Plan::new(drawing, model, self.batch, self.device)?;
        let asked = match yardstick {
            None => serde_json::to_string(&(&plan.note, self.score))?,
            Some((key, _)) => serde_json::to_string(&(&plan.note, self.score, key))?,
        };
        let name = blake3::hash(asked.as_bytes()).to_hex();
        let cells = self.cells_folder();
        let (picture_path, cell_path) =
            (cells.join(format!("{name}.png")), cells.join(format!("{name}.json")));
        if let Some(found) = found(&picture_path, &cell_path) {
            return Ok(found);
        }
        let started = std::time::Instant::now();
        let drawn = plan.draw_images(|_| Ok(()))?;
        let (count, seconds) = (plan.sampling.seeds.len() as f64, started.elapsed().as_secs_f64());
        let scores = match yardstick {
            Some((_, yardstick)) => {
                Some(score(drawing, model, yardstick, (self.score, self.batch), self.device)?)
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
    let cell = serde_json::from_slice(&duet_files::read(cell, MAX_CELL).ok()?).ok()?;
    Some((Picture::decode(&inputs::read_picture(picture).ok()?).ok()?, cell))
}

fn axis(flag: &'static str, text: &str) -> Result<Axis> {
    let wrong = || option(flag, format!(" {text}: a flag of sample and its values, such as guidance=1,2,4"));
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
    let interval = drawing.interval.map(|interval| interval.to_string()).unwrap_or_default();
    let (low, high) = interval.split_once(':').unwrap_or(("0", "inf"));
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
        return Err(setting(format!(
            "{key}: no flag of sample that decides what it draws; those are {known}"
        )));
    }
    // As a word, as a number, as a list of one or as a switch: whichever the flag takes.
    let number = serde_json::from_str::<Value>(&value).ok();
    let list = number.clone().map(|number| Value::Array(vec![number]));
    let mut cause = None;
    for reading in [Some(Value::String(value.clone())), number, list].into_iter().flatten() {
        keys.insert(key.into(), reading);
        match serde_json::from_value::<Drawing>(Value::Object(keys.clone())) {
            Ok(drawing) => return drawing.check().map(|()| drawing),
            Err(error) => cause = cause.or(Some(error.to_string()).filter(|text| is_of_option(text))),
        }
    }
    Err(setting(match cause {
        Some(cause) if cause.starts_with(&format!("{value}: ")) => format!("--{key} {cause}"),
        Some(cause) => format!("--{key} {value}: {cause}"),
        None => format!("{key}={value}: no value that --{key} takes"),
    }))
}

/// Whether an option's own type refuses a value, and not serde its JSON's.
fn is_of_option(error: &str) -> bool {
    !error.starts_with("invalid ")
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
