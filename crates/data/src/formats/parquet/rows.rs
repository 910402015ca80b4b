//! The images and labels of a file, row by row.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use super::columns::{self, Columns};
use super::pages::Pages;
use crate::label::LabelKind;

/// Rows that are read at a time. All their images are in memory twice.
const AT_ONCE: usize = 16;
/// What an image takes besides its bytes, at the most: its name, and what is wrong with it.
const BESIDES: u64 = 1024;
/// Most bytes of a label that is a text.
const MAX_TEXT: usize = 256;
/// Most bytes at the end of a file that describe it.
const MAX_DESCRIPTION: u64 = 1 << 24;

/// The rows of a file.
pub(super) struct Rows {
    pub columns: Columns,
    pub images: Vec<Vec<u8>>,
    pub labels: Labels,
}

pub(super) enum Labels {
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// All rows of a file. Their images take at most `left` bytes, which is reduced by what they take.
///
/// An error is what is wrong with the file, for people.
pub(super) fn read<R: ChunkReader + 'static>(
    file: R,
    label: Option<LabelKind>,
    left: &mut u64,
) -> Result<Rows, String> {
    // The decoders are foreign code: a panic in one of them is damage to the file.
    panic::catch_unwind(AssertUnwindSafe(|| rows(file, label, left))).unwrap_or_else(|cause| {
        let message = cause.downcast_ref::<String>().map(String::as_str);
        let message = message.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("its reader stopped: {message}"))
    })
}

fn rows<R: ChunkReader + 'static>(file: R, label: Option<LabelKind>, left: &mut u64) -> Result<Rows, String> {
    check_description(&file)?;
    let described = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(why)?;
    let columns = columns::find(&described, label)?;
    let kind = described.file_metadata().schema_descr().column(columns.label).physical_type();
    let file = Arc::new(file);
    let mut images = Vec::new();
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for group in 0..described.num_row_groups() {
        let first = images.len();
        let column = |index: usize| Column { file: file.clone(), described: &described, group, index };
        images_of(column(columns.image), &columns.image_name, &mut images, left)?;
        let count = images.len() - first;
        let to = Target { name: &columns.label_name, first, count };
        let labels = column(columns.label);
        match kind {
            Type::INT32 => values::<_, Int32Type>(labels, to, |value| {
                numbers.push((*value).into());
                Ok(())
            })?,
            Type::INT64 => values::<_, Int64Type>(labels, to, |value| {
                numbers.push(*value);
                Ok(())
            })?,
            _ => values::<_, ByteArrayType>(labels, to, |value| {
                texts.push(text(value)?);
                Ok(())
            })?,
        }
    }
    let labels = match kind {
        Type::INT32 | Type::INT64 => Labels::Numbers(numbers),
        _ => Labels::Texts(texts),
    };
    Ok(Rows { columns, images, labels })
}

/// Refuses a file that does not end as one, or that claims a very long description.
fn check_description(file: &impl ChunkReader) -> Result<(), String> {
    let cut = || "it does not end as a parquet file: it is cut, or something else".to_string();
    let length = file.len();
    let start = length.checked_sub(8).ok_or_else(cut)?;
    let end = file.get_bytes(start, 8).map_err(why)?;
    let claimed = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    match &end[4..] {
        b"PARE" => Err("it is encrypted".into()),
        b"PAR1" if claimed > length => {
            Err(format!("it has {length} bytes, and its description claims {claimed}"))
        }
        b"PAR1" if claimed > MAX_DESCRIPTION => {
            Err(format!("its description has {claimed} bytes, and at most {MAX_DESCRIPTION} are read"))
        }
        b"PAR1" => Ok(()),
        _ => Err(cut()),
    }
}

/// A column of a group of rows.
struct Column<'a, R> {
    file: Arc<R>,
    described: &'a ParquetMetaData,
    group: usize,
    index: usize,
}

impl<R: ChunkReader + 'static> Column<'_, R> {
    fn reader<T: DataType>(&self) -> Result<ColumnReaderImpl<T>, String> {
        let chunk = self.described.row_group(self.group).column(self.index);
        if chunk.file_path().is_some() {
            return Err("its columns are in other files".into());
        }
        let pages = Pages::of(self.file.clone(), chunk)?;
        Ok(get_typed_column_reader(get_column_reader(chunk.column_descr_ptr(), Box::new(pages))))
    }

    /// The next values of at most so many rows. Each of them has one.
    fn next<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        most: usize,
        null: impl Fn(usize) -> String,
    ) -> Result<Vec<T::T>, String> {
        let highest = self.described.file_metadata().schema_descr().column(self.index).max_def_level();
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (rows, ..) = reader.read_records(most, Some(&mut levels), None, &mut values).map_err(why)?;
        if let Some(row) = levels.iter().position(|&level| level < highest) {
            return Err(null(row));
        }
        match values.len() == rows {
            true => Ok(values),
            false => Err(format!("{rows} rows have {} values", values.len())),
        }
    }
}

/// Appends the images of a group of rows.
fn images_of<R: ChunkReader + 'static>(
    column: Column<R>,
    name: &str,
    images: &mut Vec<Vec<u8>>,
    left: &mut u64,
) -> Result<(), String> {
    let mut reader = column.reader::<ByteArrayType>()?;
    loop {
        let first = images.len();
        let null = |row: usize| format!("row {} has no bytes in the column {name}", first + row);
        let values = column.next(&mut reader, AT_ONCE, null)?;
        if values.is_empty() {
            return Ok(());
        }
        for value in values {
            if value.is_empty() {
                return Err(format!("row {} has an empty image in the column {name}", images.len()));
            }
            let taken = value.len() as u64 + BESIDES;
            *left = left.checked_sub(taken).ok_or(TOO_MANY)?;
            images.push(value.data().to_vec());
        }
    }
}

/// The end of the message about images that take too much memory before they are unpacked.
pub(super) const TOO_MANY: &str = "its encoded images alone are larger than what is read of a data set";

/// Where labels are from, and how many there have to be.
struct Target<'a> {
    name: &'a str,
    first: usize,
    count: usize,
}

/// Hands on each value of a column, of which there are to be as many as images.
fn values<R: ChunkReader + 'static, T: DataType>(
    column: Column<R>,
    Target { name, first, count }: Target,
    mut take: impl FnMut(&T::T) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = column.reader::<T>()?;
    let mut taken = 0;
    loop {
        let null = |row: usize| format!("row {} has no value in the column {name}", first + taken + row);
        let values = column.next(&mut reader, AT_ONCE, null)?;
        if values.is_empty() {
            break;
        }
        for value in &values {
            take(value).map_err(|cause| format!("row {}: {cause}", first + taken))?;
            taken += 1;
        }
        if taken > count {
            break;
        }
    }
    match taken == count {
        true => Ok(()),
        false => Err(format!("{count} images and other than {count} values in the column {name}")),
    }
}

/// What the crate says, without its name.
fn why(error: ParquetError) -> String {
    match error {
        ParquetError::General(cause) | ParquetError::EOF(cause) | ParquetError::NYI(cause) => cause,
        other => other.to_string(),
    }
}

fn text(value: &ByteArray) -> Result<String, String> {
    let text = value.as_utf8().map_err(|_| "its label is not UTF-8")?;
    match text.len() <= MAX_TEXT {
        true => Ok(text.into()),
        false => Err(format!("its label is a text of {} bytes", text.len())),
    }
}
