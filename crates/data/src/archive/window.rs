//! Reads a file, or bytes in memory, at any place, from several threads.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A reader with a place of its own. A clone shares the file and begins at its start.
pub(super) struct Window {
    of: Arc<Of>,
    at: u64,
}

enum Of {
    File { path: PathBuf, file: Mutex<File>, length: u64 },
    Memory(Vec<u8>),
}

impl Window {
    /// # Errors
    /// What is no regular file, or may not be read.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let file = duet_files::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { of: Arc::new(Of::File { path: path.into(), file: Mutex::new(file), length }), at: 0 })
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self { of: Arc::new(Of::Memory(bytes.to_vec())), at: 0 }
    }

    /// The number of bytes of the whole.
    pub(super) fn length(&self) -> u64 {
        match self.of.as_ref() {
            Of::File { length, .. } => *length,
            Of::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// What it reads, to be opened when it is needed.
    pub(super) fn closed(&self) -> Closed {
        match self.of.as_ref() {
            Of::File { path, .. } => Closed::File(path.clone()),
            Of::Memory(_) => Closed::Memory(self.clone()),
        }
    }

    /// The same from this place on.
    fn from(&self, at: u64) -> Self {
        Self { of: self.of.clone(), at }
    }
}

/// What a [`Window`] reads. It keeps no file open: a set may have more shards than a process may have open files.
pub(super) enum Closed {
    File(PathBuf),
    Memory(Window),
}

impl Closed {
    /// Opens it, and reads from this place on.
    pub(super) fn open(&self, at: u64) -> io::Result<Window> {
        match self {
            Self::File(path) => Ok(Window::of_file(path)?.from(at)),
            Self::Memory(window) => Ok(window.from(at)),
        }
    }
}

impl Clone for Window {
    fn clone(&self) -> Self {
        self.from(0)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.of.as_ref() {
            Of::File { file, .. } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(self.at))?;
                file.read(buffer)?
            }
            Of::Memory(bytes) => {
                let start = usize::try_from(self.at).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[start..]).read(buffer)?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A [`Window`] with a buffer for small reads. A clone has a buffer of its own.
pub(super) struct Buffered(BufReader<Window>);

impl Buffered {
    pub(super) fn new(window: Window) -> Self {
        Self(BufReader::new(window))
    }

    /// The place of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.0.get_ref().at - self.0.buffer().len() as u64
    }
}

impl Clone for Buffered {
    fn clone(&self) -> Self {
        Self::new(self.0.get_ref().clone())
    }
}

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Buffered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            // What is in the buffer stays there: the next header of an archive often is.
            SeekFrom::Current(by) => self.0.seek_relative(by).map(|()| self.position()),
            to => self.0.seek(to),
        }
    }
}
