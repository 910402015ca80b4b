//! The members of a zip archive.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use zip::read::ZipFileEntry;
use zip::{CompressionMethod, ZipArchive};

use crate::archive::member::{self, Member, Members};
use crate::archive::window::{Buffered, Window};
use crate::encoded::Container;
use crate::error::DataError;

/// The size of an entry of the directory without what is of a length of its own, and where those lengths are.
const ENTRY: usize = 46;
const LENGTHS: [usize; 3] = [28, 30, 32];

const AGAIN: &str = "get it or make it again";

/// The members of an archive, of which none is said to have more than `most` bytes.
///
/// # Errors
/// What is no whole zip archive; names that are there twice or leave the archive; members that are encrypted, or
/// packed in a way that is not read; claims of more bytes than may be read.
pub(super) fn members(path: &Path, window: Window, most: u64) -> Result<Members, DataError> {
    let packed = window.length();
    let mut archive = ZipArchive::new(Buffered::new(window))
        .map_err(|error| DataError::malformed(path, format!("no whole zip archive: {error}"), AGAIN))?;
    if archive.has_duplicate_names() {
        let name = repeated_name(&mut archive).unwrap_or_default();
        let cause = format!("the archive lists {:?} twice", String::from_utf8_lossy(&name));
        return Err(DataError::malformed(path, cause, "make it again, each member once"));
    }
    let (mut list, mut links, mut total) = (Vec::new(), Vec::new(), 0_u64);
    for i in 0..archive.len() {
        let broken = |error| DataError::malformed(path, format!("member {i}: {error}"), AGAIN);
        let entry = archive.by_index_data(i).map_err(broken)?;
        let name = member::inside(path, &name(&entry).map_err(broken)?)?;
        let bytes = if entry.is_dir() { 0 } else { entry.size() };
        if entry.is_symlink() {
            links.push(name.clone());
        } else if !entry.is_dir() {
            check(path, &name, &entry)?;
            member::check_claim(path, &name, bytes, most)?;
            total = total.saturating_add(bytes);
        }
        // A link is listed as a folder without a name, so that the indices stay those of the archive.
        let name = if entry.is_symlink() { String::new() } else { name };
        list.push(Member { is_folder: entry.is_dir() || entry.is_symlink(), name, bytes });
    }
    if member::is_bomb(total, packed) {
        return Err(DataError::malformed(path, member::bomb(total, packed), "do not use this archive"));
    }
    let left_out =
        member::left_out(path, &links, "links are not followed in an archive").into_iter().collect();
    Ok(Members { list, container: Arc::new(Zip(archive)), held: 0, left_out })
}

/// Refuses a member that cannot be unpacked.
fn check(path: &Path, name: &str, entry: &ZipFileEntry) -> Result<(), DataError> {
    if entry.encrypted() {
        let fix = "unpack it with its password, and make an archive without one";
        return Err(DataError::malformed(&path.join(name), "this member is encrypted", fix));
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        other => Err(DataError::malformed(
            &path.join(name),
            format!(
                "this member is packed by {}, and those that are stored or deflated are read",
                method(other)
            ),
            "unpack the archive, or make it again with the usual packing",
        )),
    }
}

/// What a way of packing is called.
fn method(method: CompressionMethod) -> &'static str {
    match method {
        CompressionMethod::DEFLATE64 => "Deflate64",
        CompressionMethod::BZIP2 => "bzip2",
        CompressionMethod::LZMA => "LZMA",
        CompressionMethod::ZSTD => "Zstandard",
        CompressionMethod::XZ => "XZ",
        _ => "a rare method",
    }
}

/// The name of a member, with `/` between folders.
///
/// Without a flag it is in an old code page by the letter of the format, but what macOS and others write is UTF-8.
/// Old tools of Windows wrote `\`.
fn name(entry: &ZipFileEntry) -> Result<String, zip::result::ZipError> {
    let name = match std::str::from_utf8(entry.name_raw()) {
        Ok(name) => name.to_string(),
        Err(_) => entry.name()?.into_owned(),
    };
    Ok(name.replace('\\', "/"))
}

/// The first name that the archive's directory has twice. Of those, the reader keeps the last.
fn repeated_name(archive: &mut ZipArchive<Buffered>) -> Option<Vec<u8>> {
    let mut directory = Buffered::clone(archive.clone().into_inner().by_ref());
    directory.seek(SeekFrom::Start(archive.central_directory_start())).ok()?;
    let mut seen = std::collections::HashSet::new();
    loop {
        let mut entry = [0; ENTRY];
        directory.read_exact(&mut entry).ok()?;
        let [name, extra, comment] = LENGTHS.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
        let mut bytes = vec![0; name.into()];
        directory.read_exact(&mut bytes).ok()?;
        if !seen.insert(bytes.clone()) {
            return Some(bytes);
        }
        directory.seek(SeekFrom::Current(i64::from(extra) + i64::from(comment))).ok()?;
    }
}

struct Zip(ZipArchive<Buffered>);

impl Container for Zip {
    fn read(&self, index: usize, most: u64) -> Result<Vec<u8>, String> {
        // The directory is shared, and each reader has a place of its own.
        let mut archive = self.0.clone();
        let member = archive.by_index(index).map_err(|error| error.to_string())?;
        duet_files::read_all(member, most).map_err(|error| error.to_string())
    }
}
