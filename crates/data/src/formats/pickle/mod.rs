//! Reads pickles of dictionaries, lists, numbers, texts and NumPy's arrays. Nothing of them is executed.
//!
//! A pickle is a program for a machine with a stack, which Python would run; it can call any function.
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py> describes the instructions. The machine here
//! knows the few that such data need, and the functions that make an array; whatever else is called is refused
//! by its name.

mod machine;
mod source;
mod value;

pub(super) use machine::load;
pub(super) use value::{Pickle, Value};
