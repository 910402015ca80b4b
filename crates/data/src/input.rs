//! Where an image is read from.

use std::io::{BufRead, Seek};

/// A file or memory. It is one type for both, as the decoders of all formats are compiled again for each.
pub(crate) type Input<'a> = Box<dyn ReadAnywhere + 'a>;

/// A stream that can be read from any place.
pub(crate) trait ReadAnywhere: BufRead + Seek {}

impl<T: BufRead + Seek> ReadAnywhere for T {}
