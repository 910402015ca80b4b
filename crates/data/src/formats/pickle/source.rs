//! The bytes of a pickle, read from the front.

/// What is left of the bytes, which are never copied.
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    /// How many bytes were taken.
    pub at: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Source { bytes, at: 0 }
    }

    /// The next `count` bytes, if there are as many.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        match usize::try_from(count).ok().and_then(|count| left.get(..count)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(format!(
                "it is cut: {count} bytes are to follow byte {}, and {} are there",
                self.at,
                left.len()
            )),
        }
    }

    /// A little-endian number of so many bytes, at most 8.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, String> {
        let mut eight = [0; 8];
        eight[..bytes].copy_from_slice(self.take(bytes as u64)?);
        Ok(u64::from_le_bytes(eight))
    }

    /// As many bytes as the number of so many bytes in front of them says.
    pub(super) fn counted(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let count = self.number(bytes)?;
        self.take(count)
    }

    /// A text as [`counted`](Self::counted).
    pub(super) fn text(&mut self, bytes: usize) -> Result<&'a str, String> {
        let at = self.at;
        std::str::from_utf8(self.counted(bytes)?).map_err(|_| format!("the text at byte {at} is not UTF-8"))
    }

    /// The bytes up to the end of the line, and the line's end is taken too.
    pub(super) fn line(&mut self) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        let end = left.iter().position(|&byte| byte == b'\n');
        let line = &left[..end.ok_or("it is cut within a name")?];
        self.at += line.len() + 1;
        Ok(line)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }
}
