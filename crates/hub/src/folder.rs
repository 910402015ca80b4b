//! A set's directory: there as a whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::convert::ImageSet;
use crate::error::HubError;
use crate::set::PublicSet;
use crate::set_file::SetFile;
use crate::{cifar, idx};

impl ImageSet {
    /// The files of the set under their usual names: four gzipped IDX files and `classes.txt`, or
    /// CIFAR-10's six binary batches and `batches.meta.txt`.
    ///
    /// # Errors
    /// None that the images of a checked set can cause: those of the encoders.
    pub fn files(&self) -> io::Result<Vec<SetFile>> {
        match self.set() {
            PublicSet::Mnist | PublicSet::FashionMnist => idx::files(self),
            PublicSet::Cifar10 => Ok(cifar::files(self)),
        }
    }

    /// Writes [`ImageSet::files`] into a new directory `dir`, or one that is empty.
    ///
    /// They are written and synced in a hidden temporary directory beside it, which is then
    /// renamed: nothing half written is ever under the name `dir`, and on an error nothing is
    /// left. Directories above `dir` are created.
    ///
    /// # Errors
    /// [`HubError::Occupied`] or [`HubError::Write`].
    pub fn write(&self, dir: &Path) -> Result<(), HubError> {
        check_vacant(dir)?;
        let files = self.files().map_err(|e| HubError::write(dir, e))?;
        let target = Target::of(dir)?;
        // The temporary directory is for the owner only, the one made in it is as the umask says.
        let hidden = tempfile::Builder::new()
            .prefix(".duet-hub-")
            .tempdir_in(&target.parent)
            .map_err(|e| HubError::write(&target.parent, e))?;
        let staged = hidden.path().join("set");
        fs::create_dir(&staged).map_err(|e| HubError::write(&staged, e))?;
        for file in &files {
            write_synced(&staged.join(file.name), &file.bytes)?;
        }
        target.replace_with(&staged)
    }
}

/// Whether [`ImageSet::write`] would take `dir`: it does not exist, or is an empty directory.
///
/// # Errors
/// [`HubError::Occupied`], or [`HubError::Write`] where it cannot be found out.
pub fn check_vacant(dir: &Path) -> Result<(), HubError> {
    let occupied = |what| HubError::Occupied { dir: dir.into(), what };
    match fs::metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(dir) {
            Ok(_) => Err(occupied("is a link to nothing")),
            Err(_) => Ok(()),
        },
        Err(e) => Err(HubError::write(dir, e)),
        Ok(there) if !there.is_dir() => Err(occupied("is not a directory")),
        Ok(_) => match fs::read_dir(dir).map_err(|e| HubError::write(dir, e))?.next() {
            Some(_) => Err(occupied("is not empty")),
            None => Ok(()),
        },
    }
}

/// Where the directory goes.
struct Target {
    parent: PathBuf,
    path: PathBuf,
}

impl Target {
    fn of(dir: &Path) -> Result<Self, HubError> {
        let failed = |e| HubError::write(dir, e);
        // What is there is empty. Links and `.` are followed to a name that can be renamed to.
        let path = if dir.exists() {
            fs::canonicalize(dir).map_err(failed)?
        } else {
            std::path::absolute(dir).map_err(failed)?
        };
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(_)) => {
                fs::create_dir_all(parent).map_err(|e| HubError::write(parent, e))?;
                Ok(Target { parent: parent.into(), path })
            }
            _ => Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "the path names no directory"))),
        }
    }

    fn replace_with(&self, staged: &Path) -> Result<(), HubError> {
        let failed = |e| HubError::write(&self.path, e);
        // Fails, as it should, if something was put into it meanwhile.
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => fs::rename(staged, &self.path).map_err(failed)?,
        }
        // Best effort: Windows opens no directory as a file.
        if let Ok(parent) = File::open(&self.parent) {
            let _ = parent.sync_all();
        }
        Ok(())
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    File::create(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| HubError::write(path, e))
}
