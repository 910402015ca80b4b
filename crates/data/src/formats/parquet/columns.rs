//! Which columns hold the images and the labels.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use crate::label::LabelKind;

/// What columns of labels are called.
const LABELS: [&str; 4] = ["label", "labels", FINE, COARSE];
const FINE: &str = "fine_label";
const COARSE: &str = "coarse_label";
/// Where hubs note what a column is.
const HUB: &str = "huggingface";
/// Most columns that a message lists.
const SHOWN: usize = 12;
/// More classes are no classes but numbers.
const MAX_NAMES: usize = crate::labelled::MAX_CLASSES;

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    /// The number of the column of image bytes.
    pub image: usize,
    pub label: usize,
    /// What people call them.
    pub image_name: String,
    pub label_name: String,
    /// Whether labels are texts, and not numbers.
    pub holds_texts: bool,
    /// The names of the labels, where the file has them.
    pub classes: Option<Vec<String>>,
    /// Which of two labels it is.
    pub kind: Option<LabelKind>,
    /// Whether the file says what its columns are.
    is_noted: bool,
}

impl Columns {
    /// Whether another file of the same set may have these.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        let names = |columns: &Self| (columns.image_name.clone(), columns.label_name.clone());
        names(self) == names(other) && self.classes == other.classes && self.holds_texts == other.holds_texts
    }

    /// What was taken for what, for people.
    pub(super) fn notes(&self, asked: Option<LabelKind>) -> Vec<String> {
        let (image, label) = (escaped(&self.image_name), escaped(&self.label_name));
        let columns =
            (!self.is_noted).then(|| format!("images are the column {image}, labels the column {label}"));
        let kind = self.kind.filter(|_| asked.is_none());
        let kind = kind.map(|kind| {
            format!("the classes are the {kind} labels; --label {} takes the others", kind.other())
        });
        columns.into_iter().chain(kind).collect()
    }
}

/// The columns of images and labels. An error is what is wrong, with the columns that there are.
pub(super) fn find(file: &ParquetMetaData, label: Option<LabelKind>) -> Result<Columns, String> {
    let features = features(file)?;
    let columns = Described { file, features: features.as_ref() };
    let image = columns.image()?;
    let (label, kind) = columns.label(label)?;
    Ok(Columns {
        image,
        label,
        image_name: columns.name(image),
        label_name: columns.name(label),
        holds_texts: columns.column(label).physical_type() == Type::BYTE_ARRAY,
        classes: columns.classes(label)?,
        kind,
        is_noted: features.is_some(),
    })
}

/// What a hub notes of each column.
fn features(file: &ParquetMetaData) -> Result<Option<Value>, String> {
    let notes = file.file_metadata().key_value_metadata();
    let note = notes.and_then(|notes| notes.iter().find(|note| note.key == HUB)?.value.as_ref());
    let Some(note) = note else { return Ok(None) };
    let note: Value = serde_json::from_str(note)
        .map_err(|error| format!("its note {HUB:?} of columns is no JSON: {error}"))?;
    Ok(note.pointer("/info/features").cloned())
}

struct Described<'a> {
    file: &'a ParquetMetaData,
    features: Option<&'a Value>,
}

impl Described<'_> {
    fn columns(&self) -> impl Iterator<Item = (usize, &ColumnDescriptor)> {
        let columns = self.file.file_metadata().schema_descr().columns();
        columns.iter().enumerate().map(|(i, column)| (i, column.as_ref()))
    }

    fn column(&self, index: usize) -> &ColumnDescriptor {
        &self.file.file_metadata().schema_descr().columns()[index]
    }

    /// The name of the column in which this one lies.
    fn name(&self, index: usize) -> String {
        name(self.column(index)).into()
    }

    /// Whether a hub notes that a column is of this type.
    fn is_noted(&self, name: &str, kind: &str) -> bool {
        let feature = self.features.and_then(|features| features.get(name));
        feature.and_then(|feature| feature.get("_type")).and_then(Value::as_str) == Some(kind)
    }

    /// The column of images: the one that is noted, or the one that may hold images.
    fn image(&self) -> Result<usize, String> {
        let noted = |column: &ColumnDescriptor| self.is_noted(name(column), "Image");
        let any_is_noted = self.columns().any(|(_, column)| noted(column));
        let fits = |column: &ColumnDescriptor| is_image(column) && (noted(column) || !any_is_noted);
        let found: Vec<usize> = self.columns().filter(|(_, column)| fits(column)).map(|(i, _)| i).collect();
        match found[..] {
            [only] => Ok(only),
            [] => Err(self.none("no column holds images: binary, or a struct of bytes and path")),
            _ => Err(self.none("several columns hold images")),
        }
    }

    /// The column of labels: the one that is noted or named as such; of a fine and a coarse one, the one that is
    /// asked for.
    fn label(&self, asked: Option<LabelKind>) -> Result<(usize, Option<LabelKind>), String> {
        let noted = |column: &ColumnDescriptor| self.is_noted(name(column), "ClassLabel");
        let any_is_noted = self.columns().any(|(_, column)| noted(column));
        let is_one = |column: &ColumnDescriptor| match any_is_noted {
            true => noted(column),
            false => LABELS.contains(&name(column)),
        };
        let found: Vec<usize> = self.columns().filter(|(_, column)| is_one(column)).map(|(i, _)| i).collect();
        let called = |name: &str| found.iter().copied().find(|&i| self.name(i) == name);
        let (only, kind) = match (&found[..], called(FINE), called(COARSE)) {
            (&[_, _], Some(fine), Some(coarse)) => match asked.unwrap_or(LabelKind::Fine) {
                LabelKind::Fine => (fine, Some(LabelKind::Fine)),
                LabelKind::Coarse => (coarse, Some(LabelKind::Coarse)),
            },
            (&[only], ..) => (only, None),
            ([], ..) => {
                return Err(self.none("no column is called label, labels, fine_label or coarse_label"));
            }
            _ => return Err(self.none("several columns hold labels")),
        };
        match is_label(self.column(only)) {
            true => Ok((only, kind)),
            false => {
                Err(self
                    .none(&format!("{} holds neither whole numbers nor texts", escaped(&self.name(only)))))
            }
        }
    }

    /// The names that a hub notes of a column's labels.
    fn classes(&self, label: usize) -> Result<Option<Vec<String>>, String> {
        let feature = self.features.and_then(|features| features.get(name(self.column(label))));
        let Some(names) = feature.and_then(|feature| feature.get("names")) else { return Ok(None) };
        let wrong = || format!("its note {HUB:?} has names of labels that are no list of texts");
        let names = names.as_array().filter(|names| names.len() <= MAX_NAMES).ok_or_else(wrong)?;
        let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(String::from)).collect();
        names.ok_or_else(wrong).map(Some)
    }

    /// What is missing, and the columns that there are.
    fn none(&self, what: &str) -> String {
        let mut columns: Vec<String> = self
            .columns()
            .take(SHOWN)
            .map(|(_, column)| format!("{} ({})", escaped(&column.path().string()), kind(column)))
            .collect();
        if self.columns().count() > SHOWN {
            columns.push("…".into());
        }
        format!("{what}; it has the columns {}", columns.join(", "))
    }
}

/// The name of the column at the top in which this one lies.
fn name(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

fn is_image(column: &ColumnDescriptor) -> bool {
    let is_place = match column.path().parts() {
        [_] => true,
        [_, part] => part == "bytes",
        _ => false,
    };
    is_place && column.max_rep_level() == 0 && column.physical_type() == Type::BYTE_ARRAY && !is_text(column)
}

fn is_label(column: &ColumnDescriptor) -> bool {
    let is_kind = match column.physical_type() {
        Type::INT32 | Type::INT64 => is_whole(column),
        Type::BYTE_ARRAY => is_text(column),
        _ => false,
    };
    is_kind && column.path().parts().len() == 1 && column.max_rep_level() == 0
}

/// Whether it is no date, time or decimal number.
fn is_whole(column: &ColumnDescriptor) -> bool {
    let is_plain = matches!(column.logical_type_ref(), None | Some(LogicalType::Integer { .. }));
    is_plain && !matches!(column.converted_type(), ConvertedType::DECIMAL | ConvertedType::DATE)
}

/// Whether it is a text and not bytes.
fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
        || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
}

/// What a column holds, for people.
fn kind(column: &ColumnDescriptor) -> String {
    let one = match column.physical_type() {
        Type::BYTE_ARRAY if is_text(column) => "text".to_string(),
        Type::BYTE_ARRAY => "binary".to_string(),
        other => format!("{other:?}").to_lowercase(),
    };
    if column.max_rep_level() > 0 { format!("list of {one}") } else { one }
}

/// A name for a message.
fn escaped(name: &str) -> String {
    name.chars()
        .take(60)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
