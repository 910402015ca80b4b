//! Where a set goes, and where its images lie while it is not whole.

use crate::error::{Error, Result, option, setting};
use crate::files::{create_folder, remove_files};
use crate::set::manifest::{Asked, SetManifest};
use duet_data::DataError;
use duet_files::is_temporary;
use duet_train::folder_above;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The manifest of a folder.
const MANIFEST: &str = "manifest.json";
/// Held while a set is drawn. Readers of data sets pass over hidden files.
const LOCK: &str = ".lock";

/// The form of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetFormat {
    /// A folder of PNGs for each class.
    Folder,
    /// NumPy's arrays in one file.
    Npz,
    /// MNIST's file format.
    Idx,
}

impl SetFormat {
    /// The one that is asked for, or else the one of the place's name.
    ///
    /// # Errors
    /// Where the two do not go together, or the name is that of another kind of file.
    pub fn of(out: &Path, asked: Option<Self>) -> Result<Self> {
        let is_folder = out.is_dir() || out.to_string_lossy().ends_with(['/', '\\']);
        let ending = out.extension().and_then(|ending| ending.to_str()).filter(|_| !is_folder);
        let out = out.display();
        match (ending, asked) {
            (Some("npz"), None | Some(Self::Npz)) => Ok(Self::Npz),
            (Some("npz"), Some(format)) => {
                Err(option("format", format!(" {format}: {out} is the name of a file, and a folder is made")))
            }
            (_, Some(Self::Npz)) => Err(option("format", format!(" npz: {out} does not end in .npz"))),
            (Some("png" | "safetensors" | "gif" | "zip" | "tar" | "gz"), _) => Err(option(
                "out",
                format!(" {out}: a set goes to a folder, such as set/, or to a file set.npz"),
            )),
            (_, asked) => Ok(asked.unwrap_or(Self::Folder)),
        }
    }
}

impl fmt::Display for SetFormat {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Npz => "npz",
            Self::Idx => "idx",
        })
    }
}

impl FromStr for SetFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "folder" => Ok(Self::Folder),
            "npz" => Ok(Self::Npz),
            "idx" => Ok(Self::Idx),
            _ => Err(format!("{text}: use folder, npz or idx")),
        }
    }
}

/// Where a set goes.
pub struct Place {
    pub format: SetFormat,
    /// The folder or file that is asked for.
    pub out: PathBuf,
    /// The folder of the images: of an image folder `out` itself, or else `OUT.part`, which goes when `out` is whole.
    pub work: PathBuf,
    /// What is there of the set when the work begins.
    pub found: Found,
    /// Held until the work ends.
    lock: Option<File>,
}

/// What is there of a set.
pub enum Found {
    /// Nothing.
    Nothing,
    /// Some of its images.
    Some(SetManifest),
    /// All of it.
    All(SetManifest),
}

impl Place {
    /// Looks at what is there, and refuses another set.
    pub fn new(out: &Path, format: SetFormat, asked: &Asked) -> Result<Self> {
        let out: PathBuf = out.components().collect();
        let work = match format {
            SetFormat::Folder => out.clone(),
            _ => followed(&out, ".part"),
        };
        let mut place = Self { format, out, work, found: Found::Nothing, lock: None };
        let read = |path: PathBuf| -> Result<Option<SetManifest>> {
            let manifest = SetManifest::read(&path)?;
            manifest.as_ref().map_or(Ok(()), |manifest| manifest.check(&path, asked))?;
            Ok(manifest)
        };
        if place.work.is_file() || format != SetFormat::Npz && place.out.is_file() {
            return Err(Error::Exists { path: place.out, is_run: false });
        }
        if format != SetFormat::Folder
            && place.out.exists()
            && let Some(manifest) = read(place.manifest())?
        {
            // It is written last. A process that was killed while it tidied up has left some of the rest.
            place.found = Found::All(manifest);
            if place.work.exists() {
                place.finish()?;
            }
            return Ok(place);
        }
        match read(place.work.join(MANIFEST))? {
            Some(manifest) => place.found = Found::Some(manifest),
            None => {
                for path in [&place.out, &place.work] {
                    if is_occupied(path) {
                        return Err(Error::Exists { path: path.clone(), is_run: false });
                    }
                }
            }
        }
        create_folder(&place.work)?;
        place.lock = Some(lock(&place.work.join(LOCK))?);
        Ok(place)
    }

    /// The set's own manifest: in its folder, or beside its file.
    pub fn manifest(&self) -> PathBuf {
        match self.format {
            SetFormat::Npz => self.out.with_extension("json"),
            _ => self.out.join(MANIFEST),
        }
    }

    /// Where it stands how far the work is.
    pub fn progress(&self) -> PathBuf {
        self.work.join(MANIFEST)
    }

    /// Takes away what is of no use once the set is whole.
    pub fn finish(&mut self) -> Result<()> {
        self.tidy()?;
        let path = match self.format {
            SetFormat::Folder => self.work.join(LOCK),
            _ => self.work.clone(),
        };
        // Some systems remove no open file.
        self.lock = None;
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        Ok(removed.map_err(|cause| DataError::Write { path, cause })?)
    }

    /// Takes away what processes left that were killed while they wrote the set's own files.
    fn tidy(&self) -> Result<()> {
        let begins = |name: &str, path: &Path| {
            path.file_name().is_some_and(|own| name.starts_with(&format!(".{}.", own.to_string_lossy())))
        };
        match self.format {
            SetFormat::Folder => Ok(()),
            SetFormat::Idx => remove_files(&self.out, is_temporary),
            SetFormat::Npz => {
                let manifest = self.manifest();
                let is_own = |name: &str| begins(name, &self.out) || begins(name, &manifest);
                remove_files(folder_above(&self.out), |name| is_temporary(name) && is_own(name))
            }
        }
    }
}

fn followed(path: &Path, by: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(by);
    path.with_file_name(name)
}

/// Whether there is a file, or a folder of anything but hidden files.
fn is_occupied(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    path.is_file()
        || entries.map(|entry| entry.file_name()).any(|name| !name.to_string_lossy().starts_with('.'))
}

fn lock(path: &Path) -> Result<File> {
    let file = duet_files::append(path).map_err(|cause| DataError::Write { path: path.into(), cause })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(setting(format!("{}: another process draws this set", path.display())))
        }
        Err(TryLockError::Error(cause)) => Err(DataError::Write { path: path.into(), cause }.into()),
    }
}
