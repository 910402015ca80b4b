//! The machine that reads a pickle: a stack, a memo, and the instructions that arrays need.

use std::collections::HashMap;

use super::source::Source;
use super::value::{Function, Id, NumberType, Pickle, Stored, Value};

/// Most instructions of a pickle: 10 times those of CIFAR-100's larger file. Each makes one value at most.
const MAX_INSTRUCTIONS: usize = 1 << 21;

/// The newest protocol.
const NEWEST: u8 = 5;

/// Most axes of an array of images or labels.
const MAX_AXES: usize = 5;

/// What a pickle in memory holds. An error is what is wrong with it, for people.
///
/// Memory grows with the instructions that are really there, of which there are at most 2 million; what a
/// length or an index claims takes none.
pub(in crate::formats) fn load(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut machine = Machine::default();
    let mut source = Source::new(bytes);
    if bytes.first() != Some(&0x80) {
        return Err("it does not begin as a pickle of protocol 2 or newer".into());
    }
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = source.number(1)? as u8;
        if instruction == b'.' {
            let root = machine.pop()?;
            return match source.is_empty() {
                true => Ok(Pickle { values: machine.values, root }),
                false => Err(format!("more bytes follow its end at byte {}", source.at)),
            };
        }
        machine.step(instruction, &mut source)?;
    }
    Err(format!("it has more than {MAX_INSTRUCTIONS} instructions"))
}

#[derive(Default)]
struct Machine<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Lengths of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, instruction: u8, source: &mut Source<'a>) -> Result<(), String> {
        match instruction {
            // Protocol, and the length of what follows, which is here anyway.
            0x80 => match source.number(1)? as u8 {
                version if version <= NEWEST => Ok(()),
                version => {
                    Err(format!("it is of protocol {version}, and {NEWEST} is the newest that is known"))
                }
            },
            0x95 => source.number(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'}' | b']' | b')' | b'l' | b't' | b'd' | 0x85..=0x87 => self.make(instruction),
            b'a' | b'e' | b's' | b'u' => self.add(instruction),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(instruction, source),
            b'c' | 0x93 | b'R' | b'b' => self.call(instruction, source),
            _ => {
                let value = literal(instruction, source)?;
                self.push(value)
            }
        }
    }

    /// Makes a tuple, a list or a dictionary.
    fn make(&mut self, instruction: u8) -> Result<(), String> {
        let value = match instruction {
            b'}' => Value::Dictionary(Vec::new()),
            b']' => Value::List(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.after_mark()?),
            b'l' => Value::List(self.after_mark()?),
            b'd' => Value::Dictionary(pairs(&self.after_mark()?)?),
            // Of the last one, two or three.
            _ => Value::Tuple(self.last(usize::from(instruction - 0x84))?),
        };
        self.push(value)
    }

    /// Adds to a list or a dictionary.
    fn add(&mut self, instruction: u8) -> Result<(), String> {
        let added = match instruction {
            b'a' => self.last(1)?,
            b's' => self.last(2)?,
            _ => self.after_mark()?,
        };
        let to = self.top()?;
        match (&mut self.values[to as usize], instruction) {
            (Value::List(items), b'a' | b'e') => items.extend(added),
            (Value::Dictionary(all), b's' | b'u') => all.extend(pairs(&added)?),
            (other, _) => return Err(format!("something is added to {}", other.kind())),
        }
        Ok(())
    }

    /// Keeps the last value, or fetches one that was kept.
    fn remember(&mut self, instruction: u8, source: &mut Source<'a>) -> Result<(), String> {
        let index = match instruction {
            b'q' | b'h' => source.number(1)? as u32,
            b'r' | b'j' => source.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(instruction, b'h' | b'j') {
            let kept = self.memo.get(&index).ok_or(format!("value {index} is used before it is there"))?;
            self.stack.push(*kept);
        } else {
            let top = self.top()?;
            self.memo.insert(index, top);
        }
        Ok(())
    }

    /// Names a function, takes what a call of it would make, or gives an object its content.
    fn call(&mut self, instruction: u8, source: &mut Source<'a>) -> Result<(), String> {
        match instruction {
            b'c' => {
                let (module, name) = (source.line()?, source.line()?);
                self.push(Value::Function(function(module, name)?))
            }
            0x93 => {
                let names = self.last(2)?;
                let [module, name] = [0, 1].map(|i| self.values[names[i] as usize].text());
                let (Some(module), Some(name)) = (module, name) else {
                    return Err("a function's name is no text".into());
                };
                self.push(Value::Function(function(module.as_bytes(), name.as_bytes())?))
            }
            b'R' => {
                let [called, given] = self.last(2)?[..] else { unreachable!("two were taken") };
                let made = self.made(called, given)?;
                self.push(made)
            }
            _ => {
                let state = self.pop()?;
                let object = self.top()?;
                self.fill(object, state)
            }
        }
    }

    /// What a known function makes of its arguments.
    fn made(&self, called: Id, given: Id) -> Result<Value<'a>, String> {
        let Value::Function(function) = self.value(called) else {
            return Err(format!("{} is called", self.value(called).kind()));
        };
        let Value::Tuple(given) = self.value(given) else {
            return Err("a function is called without arguments".into());
        };
        let wrong = || format!("{function:?} is called with other arguments than NumPy gives");
        match (function, &given[..]) {
            (Function::Reconstruct, &[class, _, _]) => match self.value(class) {
                Value::Function(Function::NdArray) => Ok(Value::Array(None)),
                _ => Err(wrong()),
            },
            (Function::FromBuffer, &[values, number, shape, order]) => {
                let is_fortran = match self.value(order).text() {
                    Some("C") => false,
                    Some("F") => true,
                    _ => return Err(wrong()),
                };
                let shape = self.shape(shape).ok_or_else(wrong)?;
                Ok(Value::Array(Some(Box::new(Stored { shape, number, is_fortran, values }))))
            }
            (Function::DType, &[name, ..]) => {
                let name = self.value(name).text().ok_or_else(wrong)?;
                Ok(Value::NumberType(Box::new(NumberType { name, order: b'=' })))
            }
            (Function::Encode, &[text, codec]) => match (self.value(text), self.value(codec).text()) {
                (Value::Text(text), Some("latin1")) => Ok(Value::Characters(text)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    /// Gives an array its shape, type and values, or a type of numbers its order of bytes.
    fn fill(&mut self, object: Id, state: Id) -> Result<(), String> {
        let Value::Tuple(state) = self.value(state) else {
            return Err(format!("the content of {} is no tuple", self.value(object).kind()));
        };
        let filled = match (self.value(object), &state[..]) {
            (Value::Array(None), &[_, shape, number, order, values]) => {
                let shape = self.shape(shape).ok_or("the shape of an array is none")?;
                let Value::Bool(is_fortran) = *self.value(order) else {
                    return Err("the order of an array's values is neither C's nor Fortran's".into());
                };
                if let Value::List(_) = self.value(values) {
                    return Err("an array of Python objects; save an array of numbers instead".into());
                }
                Value::Array(Some(Box::new(Stored { shape, number, is_fortran, values })))
            }
            (Value::NumberType(number), &[_, order, inner, names, ..]) => {
                let plain = [inner, names].iter().all(|&id| matches!(self.value(id), Value::None));
                let order = self.value(order).text().and_then(|order| order.bytes().next());
                let order = order.filter(|order| plain && b"<>|=".contains(order));
                let order = order.ok_or("the values of an array are no plain numbers")?;
                Value::NumberType(Box::new(NumberType { name: number.name, order }))
            }
            (other, _) => return Err(format!("{} is given content that it cannot have", other.kind())),
        };
        self.values[object as usize] = filled;
        Ok(())
    }

    fn shape(&self, id: Id) -> Option<Vec<usize>> {
        let Value::Tuple(sides) = self.value(id) else { return None };
        let side = |&id: &Id| match *self.value(id) {
            Value::Integer(side) => usize::try_from(side).ok(),
            _ => None,
        };
        (sides.len() <= MAX_AXES).then(|| sides.iter().map(side).collect())?
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    /// The last `count` values above the last mark, which are taken.
    fn last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let above = self.stack.len() - self.marks.last().copied().unwrap_or(0);
        match above >= count {
            true => Ok(self.stack.split_off(self.stack.len() - count)),
            false => Err("it takes more values than it has".into()),
        }
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.last(1).map(|last| last[0])
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or("it takes more values than it has".into())
    }

    /// The values after the last mark, which are taken with it.
    fn after_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("it takes a mark that is not there")?;
        Ok(self.stack.split_off(mark))
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match items.len().is_multiple_of(2) {
        true => Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
        false => Err("a dictionary has a key without a value".into()),
    }
}

/// A value that is written out.
fn literal<'a>(instruction: u8, source: &mut Source<'a>) -> Result<Value<'a>, String> {
    Ok(match instruction {
        b'N' => Value::None,
        0x88 => Value::Bool(true),
        0x89 => Value::Bool(false),
        b'K' => Value::Integer(source.number(1)? as i64),
        b'M' => Value::Integer(source.number(2)? as i64),
        b'J' => Value::Integer((source.number(4)? as u32 as i32).into()),
        0x8a => Value::Integer(long(source.counted(1)?)?),
        b'U' | b'C' => Value::Bytes(source.counted(1)?),
        b'T' | b'B' => Value::Bytes(source.counted(4)?),
        // A byte string, or a byte array that could be changed.
        0x8e | 0x96 => Value::Bytes(source.counted(8)?),
        0x8c => Value::Text(source.text(1)?),
        b'X' => Value::Text(source.text(4)?),
        0x8d => Value::Text(source.text(8)?),
        other => {
            let at = source.at - 1;
            return Err(format!("its instruction {other:#04x} at byte {at} is none that plain arrays need"));
        }
    })
}

/// A signed number of any length.
fn long(bytes: &[u8]) -> Result<i64, String> {
    if bytes.len() > 8 {
        return Err(format!("a number of {} bytes", bytes.len()));
    }
    let is_negative = bytes.last().is_some_and(|&last| last >= 0x80);
    let mut eight = [if is_negative { 0xff } else { 0 }; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(eight))
}

/// The known function of this name.
fn function(module: &[u8], name: &[u8]) -> Result<Function, String> {
    Ok(match (module, name) {
        (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Function::Reconstruct,
        (b"numpy.core.numeric" | b"numpy._core.numeric", b"_frombuffer") => Function::FromBuffer,
        (b"numpy", b"ndarray") => Function::NdArray,
        (b"numpy", b"dtype") => Function::DType,
        (b"_codecs", b"encode") => Function::Encode,
        _ => {
            let shown = |name: &[u8]| -> String {
                String::from_utf8_lossy(name).chars().take(60).flat_map(char::escape_default).collect()
            };
            let (module, name) = (shown(module), shown(name));
            return Err(format!("it would call {module}.{name}, and nothing of a pickle is executed"));
        }
    })
}
