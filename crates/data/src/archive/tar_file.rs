//! The members of a tar archive, gzipped or not.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::archive::kind::BLOCK;
use crate::archive::member::{self, Member, Members};
use crate::archive::window::{Buffered, Closed, Window};
use crate::decode;
use crate::encoded::Container;
use crate::error::{DataError, shown};

/// Most bytes of a header that lengthens another.
const MAX_HEADER: u64 = 1 << 20;
/// Bytes behind the end that are looked at.
const BEHIND: u64 = 1 << 20;

const AGAIN: &str = "get it or make it again";

/// The members of an archive that is not compressed.
///
/// # Errors
/// What is no whole tar archive; names that leave the archive.
pub(super) fn members(path: &Path, window: Window) -> Result<Members, DataError> {
    let (length, whole) = (window.length(), window.closed());
    let mut archive = Archive::new(Buffered::new(window));
    let entries = archive.entries_with_seek().map_err(|error| broken(path, &error))?;
    let mut places = Vec::new();
    let mut found = scan(path, entries, |member, entry| {
        let start = entry.raw_file_position();
        if start.checked_add(member.bytes).is_none_or(|end| end > length) {
            return Err(cut(&path.join(&member.name), "the archive ends within this member"));
        }
        places.push((start, member.bytes));
        Ok(())
    })?;
    found.end(path, archive.into_inner(), BEHIND)?;
    let container = Arc::new(Places { whole, places });
    Ok(Members { list: found.list, container, held: 0, left_out: found.left_out })
}

/// The members of a gzipped archive. Those that are needed are in memory, at most `most` bytes.
///
/// # Errors
/// As [`members`]; more bytes than may be in memory.
pub(super) fn gzipped_members(path: &Path, window: Window, most: u64) -> Result<Members, DataError> {
    let stream = Bounded { unpacked: 0, stream: MultiGzDecoder::new(Buffered::new(window)) };
    let mut archive = Archive::new(stream);
    let entries = archive.entries().map_err(|error| broken(path, &error))?;
    let (mut held, mut left) = (Vec::new(), most);
    let mut found = scan(path, entries, |member, entry| {
        let mut bytes = Vec::new();
        if is_needed(&member.name) {
            member::check_claim(path, &member.name, member.bytes, left)?;
            entry.read_to_end(&mut bytes).map_err(|error| broken(&path.join(&member.name), &error))?;
            if bytes.len() as u64 != member.bytes {
                return Err(cut(&path.join(&member.name), "the archive ends within this member"));
            }
            left -= member.bytes;
        }
        held.push(bytes);
        Ok(())
    })?;
    // The checksum is at the very end.
    found.end(path, archive.into_inner(), u64::MAX)?;
    let container = Arc::new(Held(held));
    Ok(Members { list: found.list, container, held: most - left, left_out: found.left_out })
}

/// Whether a member may be an image, its label or a list. Others are not kept in memory.
fn is_needed(name: &str) -> bool {
    let lower = name.to_lowercase();
    decode::is_image_name(Path::new(name)) || [".cls", ".json", ".txt"].iter().any(|end| lower.ends_with(end))
}

fn broken(path: &Path, error: &io::Error) -> DataError {
    DataError::malformed(path, format!("no whole tar archive: {error}"), AGAIN)
}

fn cut(path: &Path, cause: &str) -> DataError {
    DataError::malformed(path, format!("{cause}: it is cut"), AGAIN)
}

/// What was found in an archive.
#[derive(Default)]
struct Found {
    list: Vec<Member>,
    left_out: Vec<String>,
    /// Where the last member ends.
    end: u64,
}

/// Looks at every member, in their order, and gives files to `take`.
fn scan<'a, R: Read + 'a>(
    path: &Path,
    entries: tar::Entries<'a, R>,
    mut take: impl FnMut(&Member, &mut Entry<'a, R>) -> Result<(), DataError>,
) -> Result<Found, DataError> {
    let (mut found, mut special, mut longer) = (Found::default(), Vec::new(), Longer::new());
    // Headers that lengthen others are read here, as the crate would read them whatever their size.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| match found.list.last() {
            Some(last) => DataError::malformed(
                path,
                format!("no whole tar archive: after {}: {error}", shown(Path::new(&last.name))),
                AGAIN,
            ),
            None => broken(path, &error),
        })?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        found.end = entry.raw_file_position() + size.next_multiple_of(BLOCK as u64);
        if matches!(kind, EntryType::GNULongName | EntryType::XHeader) {
            longer.extend(extension(path, kind, &mut entry)?);
            continue;
        }
        if matches!(kind, EntryType::GNULongLink | EntryType::XGlobalHeader) {
            continue;
        }
        let name = name(path, &entry, std::mem::take(&mut longer))?;
        // The oldest archives mark a folder by the end of its name alone.
        let is_folder = kind.is_dir() || kind.is_file() && entry.path_bytes().ends_with(b"/");
        if !(is_folder || kind.is_file() || kind.is_contiguous()) {
            special.push(name);
            continue;
        }
        let member = Member { name, is_folder, bytes: if is_folder { 0 } else { size } };
        take(&member, &mut entry)?;
        found.list.push(member);
    }
    found.left_out.extend(member::left_out(path, &special, "links, devices and the like are no images"));
    Ok(found)
}

/// The name of a member inside the archive. `longer` is what headers before it said.
fn name<R: Read>(path: &Path, entry: &Entry<R>, longer: Longer) -> Result<String, DataError> {
    let name = longer.get("path").cloned().unwrap_or_else(|| entry.path_bytes().into_owned());
    let name = String::from_utf8(name).map_err(|name| {
        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
        let cause = format!("the name of the member {name:?} is not UTF-8");
        DataError::malformed(path, cause, "rename it, and make the archive again")
    })?;
    let name = member::inside(path, &name)?;
    if longer.get("size").is_some_and(|size| *size != entry.size().to_string().into_bytes()) {
        let cause = "this member has two sizes, or is larger than 8 gigabytes";
        return Err(DataError::malformed(&path.join(&name), cause, "leave it out"));
    }
    Ok(name)
}

/// What headers say of the next member: its `path`, its `size`.
type Longer = HashMap<&'static str, Vec<u8>>;

/// What a header says of the next member.
fn extension<R: Read>(path: &Path, kind: EntryType, entry: &mut Entry<R>) -> Result<Longer, DataError> {
    if entry.size() > MAX_HEADER {
        let cause = format!("a header of {} bytes, and at most {MAX_HEADER} are read", entry.size());
        return Err(DataError::malformed(path, cause, AGAIN));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| broken(path, &error))?;
    if kind == EntryType::GNULongName {
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
        return Ok(HashMap::from([("path", bytes)]));
    }
    let mut said = HashMap::new();
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|error| broken(path, &error))?;
        for key in ["path", "size"] {
            if extension.key_bytes() == key.as_bytes() {
                said.insert(key, extension.value_bytes().to_vec());
            }
        }
    }
    Ok(said)
}

/// Says how much was read of the whole.
trait Position {
    fn position(&self) -> u64;
}

impl Position for Buffered {
    fn position(&self) -> u64 {
        Buffered::position(self)
    }
}

impl Found {
    /// Checks that the archive ends as one does, with a block of zeros, and reads what is behind, at most `most`
    /// bytes.
    fn end(&mut self, path: &Path, rest: impl Read + Position, most: u64) -> Result<(), DataError> {
        if rest.position() != self.end.saturating_add(BLOCK as u64) {
            return Err(cut(path, "the archive ends without the zeros that end one"));
        }
        let (mut rest, mut part, mut has_more) = (rest.take(most), [0; 1 << 13], false);
        loop {
            match rest.read(&mut part).map_err(|error| broken(path, &error))? {
                0 => break,
                read => has_more |= part[..read].iter().any(|&byte| byte != 0),
            }
        }
        if has_more {
            self.left_out.push(format!(
                "what follows the end of {} is left out; of archives that were joined, give each by itself",
                shown(path)
            ));
        }
        Ok(())
    }
}

/// The places of members in the archive.
struct Places {
    whole: Closed,
    places: Vec<(u64, u64)>,
}

impl Container for Places {
    fn read(&self, index: usize, most: u64) -> Result<Vec<u8>, String> {
        let (start, bytes) = self.places[index];
        let member = self.whole.open(start).map(|whole| whole.take(bytes));
        member.and_then(|member| duet_files::read_all(member, most)).map_err(|error| error.to_string())
    }
}

/// The bytes of members.
struct Held(Vec<Vec<u8>>);

impl Container for Held {
    fn read(&self, index: usize, most: u64) -> Result<Vec<u8>, String> {
        duet_files::read_all(&self.0[index][..], most).map_err(|error| error.to_string())
    }
}

/// A stream that unpacks no bomb.
struct Bounded {
    unpacked: u64,
    stream: MultiGzDecoder<Buffered>,
}

impl Position for Bounded {
    fn position(&self) -> u64 {
        self.unpacked
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.unpacked += read as u64;
        let packed = self.stream.get_ref().position();
        match member::is_bomb(self.unpacked, packed) {
            true => Err(io::Error::other(member::bomb(self.unpacked, packed))),
            false => Ok(read),
        }
    }
}
