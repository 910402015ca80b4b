//! What a pickle holds. Values refer to each other by number, so that nothing is nested in memory: neither depth
//! nor a circle can exhaust the stack.

use std::borrow::Cow;

use crate::formats::npy;

/// Most bytes of a name. One that is long and used very often would take hours to look at.
const MAX_NAME: usize = 256;

/// The number of a value.
pub(super) type Id = u32;

/// A value of a pickle. Bytes and texts are those of the file.
#[derive(Debug)]
pub(in crate::formats) enum Value<'a> {
    None,
    Bool(bool),
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Bytes as Python 3 writes them for Python 2: each is a character.
    Characters(&'a str),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// Keys and values; of equal keys the last one counts.
    Dictionary(Vec<(Id, Id)>),
    Function(Function),
    NumberType(Box<NumberType<'a>>),
    Array(Option<Box<Stored>>),
}

/// A function or class that is known. None of them is called: what they would make is known too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) enum Function {
    /// `numpy.core.multiarray._reconstruct`: an array without values.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`: an array of these bytes.
    FromBuffer,
    /// The class of arrays.
    NdArray,
    /// The type of an array's values.
    DType,
    /// `_codecs.encode`: bytes from the characters of a text.
    Encode,
}

/// The type of an array's values.
#[derive(Debug)]
pub(in crate::formats) struct NumberType<'a> {
    /// Such as `u1`.
    pub(super) name: &'a str,
    /// `<`, `>`, `|` or `=`.
    pub(super) order: u8,
}

/// An array as its pickle stores it.
#[derive(Debug)]
pub(in crate::formats) struct Stored {
    pub(super) shape: Vec<usize>,
    pub(super) number: Id,
    /// Whether the first axis varies fastest.
    pub(super) is_fortran: bool,
    pub(super) values: Id,
}

/// All values of a pickle.
#[derive(Debug)]
pub(in crate::formats) struct Pickle<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    pub(super) fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    /// The values of a list or tuple, otherwise none.
    pub(in crate::formats) fn items<'p>(
        &'p self,
        value: &'p Value<'a>,
    ) -> Option<impl ExactSizeIterator<Item = &'p Value<'a>>> {
        match value {
            Value::List(items) | Value::Tuple(items) => Some(items.iter().map(|&id| self.value(id))),
            _ => None,
        }
    }

    /// The keys of the dictionary that the pickle is, if it is one.
    pub(in crate::formats) fn keys(&self) -> Option<impl Iterator<Item = &Value<'a>>> {
        match self.value(self.root) {
            Value::Dictionary(pairs) => Some(pairs.iter().map(|&(key, _)| self.value(key))),
            _ => None,
        }
    }

    /// The value of a key, a text or the same bytes, in the dictionary that the pickle is.
    pub(in crate::formats) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dictionary(pairs) = self.value(self.root) else { return None };
        let is_key = |id: Id| self.value(id).text().is_some_and(|text| text == key);
        pairs.iter().rev().find(|&&(id, _)| is_key(id)).map(|&(_, value)| self.value(value))
    }

    /// The array that the value is. An error says why it is none that can be read.
    pub(in crate::formats) fn array(&self, value: &Value<'a>) -> Result<npy::Array, String> {
        let Value::Array(Some(stored)) = value else {
            return Err(format!("{} where an array of NumPy is expected", value.kind()));
        };
        let Value::NumberType(number) = self.value(stored.number) else {
            return Err("an array whose type of numbers is none".into());
        };
        let kind = npy::Kind::of(number.name)?;
        let bytes = match self.value(stored.values) {
            Value::Bytes(bytes) => Cow::Borrowed(*bytes),
            Value::Characters(text) => Cow::Owned(bytes_of(text)?),
            other => return Err(format!("an array whose values are {}, not bytes", other.kind())),
        };
        let shape = stored.shape.clone();
        let size = shape.iter().try_fold(kind.size(), |size, &side| size.checked_mul(side));
        if size != Some(bytes.len()) {
            return Err(format!("an array of shape {shape:?} with {} bytes of values", bytes.len()));
        }
        let values = kind.values(&mut &bytes[..], number.order == b'>')?;
        match stored.is_fortran && shape.len() > 1 {
            true => npy::Array { shape, values }.by_rows(),
            false => Ok(npy::Array { shape, values }),
        }
    }
}

/// The bytes that these characters stand for.
fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).map_err(|_| "a character above 255 among bytes".into()))
        .collect()
}

impl<'a> Value<'a> {
    /// A short text, or bytes that are one.
    pub(in crate::formats) fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) | Value::Characters(text) => Some(*text).filter(|text| text.len() <= MAX_NAME),
            Value::Bytes(bytes) if bytes.len() <= MAX_NAME => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// What it is, for people.
    pub(in crate::formats) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a truth value",
            Value::Integer(_) => "a number",
            Value::Bytes(_) | Value::Characters(_) => "bytes",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dictionary(_) => "a dictionary",
            Value::Function(_) => "a function",
            Value::NumberType(_) => "a type of numbers",
            Value::Array(_) => "an array",
        }
    }
}
