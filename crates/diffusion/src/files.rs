//! Reading files of tensors, and writing files and folders that are there whole or not at all.

use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use duet_data::DataError;
use duet_model::ModelError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The tensors of a safetensors file from anywhere; `refuse` makes the error of one that is none.
pub(crate) fn read_tensors(
    path: &Path,
    refuse: impl Fn(String) -> DataError,
) -> Result<BTreeMap<String, Tensor>> {
    let tensors = duet_model::read_tensors(path, &Device::Cpu).map_err(|error| match error {
        ModelError::Read { path, cause } => DataError::Read { path, cause },
        ModelError::File { reason, .. } => refuse(reason),
        error => refuse(error.to_string()),
    });
    Ok(tensors?)
}

/// Makes the folder that a file goes into.
///
/// # Errors
/// [`DataError::Write`].
pub fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => create_folder(parent),
        None => Ok(()),
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`DataError::Write`].
pub fn create_folder(path: &Path) -> Result<()> {
    Ok(std::fs::create_dir_all(path).map_err(write_error(path))?)
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |cause| DataError::Write { path: path.into(), cause }
}

/// Writes a file by a temporary sibling, so that it is whole or not there.
///
/// # Errors
/// [`DataError::Write`]; what was there stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(duet_files::write_whole(path, |file| file.write_all(bytes)).map_err(write_error(path))?)
}

/// Removes the files of a folder whose names are chosen: those that a process left half written which was killed. A
/// folder that cannot be listed has none.
///
/// # Errors
/// [`DataError::Write`].
pub(crate) fn remove_files(folder: &Path, is_chosen: impl Fn(&str) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_chosen(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path()).map_err(write_error(&entry.path()))?;
        }
    }
    Ok(())
}

/// Refuses a place for a new folder where there is something.
///
/// # Errors
/// [`Error::Exists`].
pub fn refuse_existing(out: &Path) -> Result<()> {
    match out.exists() {
        true => Err(Error::Exists { path: out.into(), is_run: false }),
        false => Ok(()),
    }
}

/// Writes a new folder of these files: whole or not at all.
///
/// # Errors
/// [`Error::Exists`], and [`DataError::Write`].
pub fn write_folder(out: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<()> {
    refuse_existing(out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent)?;
        for (name, bytes) in &files {
            let path = temporary.path().join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        readable(temporary.path())?;
        std::fs::rename(temporary.path(), out)?;
        // Renamed: there is nothing left to remove.
        let _ = temporary.keep();
        Ok(())
    };
    Ok(write().map_err(write_error(out))?)
}

/// Temporary folders are for their owner alone; this one is to be shared.
fn readable(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    let _ = folder;
    Ok(())
}
