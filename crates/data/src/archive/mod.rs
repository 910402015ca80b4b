//! Archives, zip and tar, as trees of folders and files. They are read in place: nothing is unpacked to a disk.

mod kind;
mod member;
mod tar_file;
mod window;
mod zip_file;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::encoded::Source;
use crate::error::DataError;
use crate::tree::{Tree, is_hidden, name_bytes};

pub(crate) use kind::{Kind, is_name, is_tar_name, of_file, stem};
pub(crate) use member::Members;
use window::Window;

/// An archive as a tree. Its own path is the path of the outermost folder.
pub(crate) struct Archive {
    pub path: PathBuf,
    pub members: Members,
    /// The paths in each folder, in byte order.
    folders: HashMap<PathBuf, Vec<PathBuf>>,
    /// The index of each file's member.
    files: HashMap<PathBuf, usize>,
}

impl Archive {
    /// Lists an archive of a kind that is read, of which no member may have more than `most` bytes.
    ///
    /// # Errors
    /// A file that is no archive, or none that is read; damage; names that leave the archive or are there twice;
    /// members that are encrypted or claim too much.
    pub(crate) fn open(path: &Path, most: u64) -> Result<Self, DataError> {
        let unreadable = |error: io::Error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                DataError::malformed(path, error.to_string(), "name an archive")
            }
            _ => DataError::read(path, error),
        };
        let kind = of_file(path).map_err(unreadable)?;
        let window = Window::of_file(path).map_err(unreadable)?;
        Self::new(path, kind, window, most)
    }

    /// As [`Archive::open`], of bytes that messages call `path`.
    pub(crate) fn of_bytes(path: &Path, bytes: &[u8], most: u64) -> Result<Self, DataError> {
        Self::new(path, kind::of_start(bytes), Window::of_bytes(bytes), most)
    }

    fn new(path: &Path, kind: Option<Kind>, window: Window, most: u64) -> Result<Self, DataError> {
        let members = match kind {
            Some(Kind::Zip) => zip_file::members(path, window, most)?,
            Some(Kind::Tar) => tar_file::members(path, window)?,
            Some(Kind::GzippedTar) => tar_file::gzipped_members(path, window, most)?,
            Some(Kind::NotRead(name)) => {
                let cause = format!("this is an archive of the kind {name}, which is not read");
                return Err(DataError::malformed(path, cause, "unpack it, or make a .zip or .tar of it"));
            }
            None => {
                let cause = "this is neither a zip nor a tar archive, or it is cut at its start";
                return Err(DataError::malformed(path, cause, "get it or make it again"));
            }
        };
        let (folders, files) = (HashMap::from([(path.into(), Vec::new())]), HashMap::new());
        let mut archive = Self { path: path.into(), members, folders, files };
        archive.fill()?;
        Ok(archive)
    }

    fn fill(&mut self) -> Result<(), DataError> {
        for (index, member) in self.members.list.iter().enumerate() {
            let path = self.path.join(&member.name);
            if member.is_folder {
                add_folder(&mut self.folders, &path);
                continue;
            }
            if path == self.path || self.files.insert(path.clone(), index).is_some() {
                let fix = "make the archive again, each member once";
                return Err(DataError::malformed(&path, "the archive has two members of this name", fix));
            }
            if let Some(parent) = path.parent() {
                add_folder(&mut self.folders, parent);
                self.folders.entry(parent.into()).or_default().push(path);
            }
        }
        if let Some(both) = self.files.keys().find(|path| self.folders.contains_key(*path)) {
            let fix = "make the archive again, each member once";
            return Err(DataError::malformed(both, "this member is a file and a folder", fix));
        }
        self.folders.values_mut().for_each(|paths| paths.sort_by(|a, b| name_bytes(a).cmp(name_bytes(b))));
        Ok(())
    }

    /// The names of its files, without hidden ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let is_shown = |name: &&str| !name.split('/').any(|part| is_hidden(part.as_bytes()));
        self.members
            .list
            .iter()
            .filter(|member| !member.is_folder)
            .map(|member| member.name.as_str())
            .filter(is_shown)
    }

    /// The bytes of the archive's member with this index in the list, at most `most`.
    pub(crate) fn source(&self, index: usize) -> Source {
        let bytes = self.members.list[index].bytes;
        Source::Part { of: self.members.container.clone(), index, bytes }
    }
}

/// Adds a folder below the outermost, and those above it.
fn add_folder(folders: &mut HashMap<PathBuf, Vec<PathBuf>>, folder: &Path) {
    if folders.contains_key(folder) {
        return;
    }
    folders.insert(folder.into(), Vec::new());
    if let Some(parent) = folder.parent() {
        add_folder(folders, parent);
        folders.entry(parent.into()).or_default().push(folder.into());
    }
}

impl Tree for Archive {
    fn entries(&self, dir: &Path) -> Result<Vec<PathBuf>, DataError> {
        let paths = self.folders.get(dir).ok_or_else(|| DataError::read(dir, ErrorKind::NotFound.into()))?;
        Ok(paths.iter().filter(|path| !is_hidden(name_bytes(path))).cloned().collect())
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn is_link(&self, _: &Path) -> bool {
        false
    }

    fn source(&self, path: &Path) -> Source {
        self.files.get(path).map_or(Source::File, |&index| self.source(index))
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let index = *self.files.get(path).ok_or(ErrorKind::NotFound)?;
        self.members
            .container
            .read(index, most)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}
